package broker

import (
	"strings"
	"testing"
)

func TestSubscriptionComplete(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		s    Subscription
		want string
	}{
		"no subscriber":  {Subscription{Channels: []string{"c"}}, "subscriber is empty"},
		"bad subscriber": {Subscription{Subscriber: "a b", Channels: []string{"c"}}, "subscriber \"a b\""},
		"no channels":    {Subscription{Subscriber: "s"}, "no channels"},
		"bad channel":    {Subscription{Subscriber: "s", Channels: []string{"c", "a/b"}}, "channel \"a/b\""},
		"same channel":   {Subscription{Subscriber: "s", Channels: []string{"c", "c"}}, "twice"},
		"negative bound": {Subscription{Subscriber: "s", Channels: []string{"c"}, MaxInFlight: -1}, "MaxInFlight"},
	} {
		if _, err := test.s.Complete(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
	s, err := Subscription{Subscriber: "s", Channels: []string{"c"}}.Complete()
	if err != nil || s.MaxInFlight != DefaultMaxInFlight {
		t.Errorf("a good subscription gives %+v, %v", s, err)
	}
}
