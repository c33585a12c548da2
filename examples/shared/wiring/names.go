package wiring

// Names are the names that the services of a sample use on the broker.
type Names struct {
	// Prefix comes before each, so that several systems can share one broker;
	// it may be empty.
	Prefix string
	// Channels are all channels of the sample, without the prefix.
	Channels []string
}

// Subscriber is the name under which a service receives messages.
func (n Names) Subscriber(service string) string { return n.Prefix + service }

// Source is the name of a service's outbox.
func (n Names) Source(service string) string { return n.Prefix + service }

func (n Names) channels() []string {
	all := make([]string, len(n.Channels))
	for i, name := range n.Channels {
		all[i] = n.Prefix + name
	}
	return all
}
