package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"tidings.example"
	"tidings.example/admin"
)

// MaxReason bounds the reasons that are kept, in bytes.
const MaxReason = 4000

// Reason returns a reason that fits, without what no text column takes.
func Reason(s string) string {
	clean := make([]rune, 0, min(len(s), MaxReason))
	size := 0
	for _, r := range s { // a byte that is not UTF-8 comes as U+FFFD
		if r < ' ' && r != '\n' && r != '\t' {
			r = ' '
		}
		if size += len(string(r)); size > MaxReason {
			break
		}
		clean = append(clean, r)
	}
	return string(clean)
}

// whole is a message as the audit table keeps it. The payload is base64.
type whole struct {
	ID          string          `json:"id"`
	Source      string          `json:"source,omitempty"`
	Channel     string          `json:"channel"`
	Key         string          `json:"key,omitempty"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"contentType,omitempty"`
	Headers     tidings.Headers `json:"headers,omitempty"`
	Payload     []byte          `json:"payload"`
	Epoch       string          `json:"epoch,omitempty"`
	Lane        int             `json:"lane,omitempty"`
	Sequence    uint64          `json:"sequence,omitempty"`
	Reason      string          `json:"reason"`
	Attempts    int             `json:"attempts,omitempty"`
}

func wholeOf(m *tidings.Message) whole {
	return whole{ID: m.ID, Source: m.Source, Channel: m.Channel, Key: m.Key, Type: m.Type, Subject: m.Subject,
		Time: m.Time, ContentType: m.ContentType, Headers: m.Headers, Payload: m.Payload,
		Epoch: m.Stamp.Epoch, Lane: m.Stamp.Lane, Sequence: m.Stamp.Sequence}
}

// ParkedDetail is a parked message as JSON, for the audit table.
func ParkedDetail(p *admin.ParkedMessage) (string, error) {
	w := wholeOf(&p.Message)
	w.Reason, w.Attempts = p.Reason, p.Attempts
	return marshal(w)
}

// AsideDetail is a set-aside row as JSON, for the audit table.
func AsideDetail(r *admin.SetAsideRow) (string, error) {
	w := wholeOf(&r.Message)
	w.Reason = r.Reason
	return marshal(w)
}

// EditDetail is what an edit has replaced, as JSON, for the audit table.
func EditDetail(before []byte) (string, error) {
	return marshal(struct {
		PayloadBefore []byte `json:"payloadBefore"`
	}{before})
}

func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode the audit record: %w", err)
	}
	return string(b), nil
}

// ParkedTarget names a parked message in the audit table.
func ParkedTarget(p *admin.ParkedMessage) string {
	return fmt.Sprintf("parked message %d of %s: channel %q key %q id %q", p.ID, p.Subscriber, p.Message.Channel,
		p.Message.Key, p.Message.ID)
}
