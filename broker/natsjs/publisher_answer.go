package natsjs

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answer takes the server's answer to one message.
func (p *publisher) answer(msg *nats.Msg) {
	token, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, p.inbox), 36, 64)
	if err != nil {
		return
	}
	if len(msg.Data) == 0 {
		// No stream listens: the server has just started, or has no leader.
		p.refused(token, nats.ErrNoResponders, true)
		return
	}
	var ack struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		p.refused(token, fmt.Errorf("read acknowledgement: %w", err), true)
		return
	}
	if ack.Error != nil {
		passing := ack.Error.Code == 503 || ack.Error.Code == 429 || ack.Error.Code == 408
		p.refused(token, ack.Error, passing)
		return
	}
	p.stored(token)
}

// stored reports a message as published and sends the next of its lane.
func (p *publisher) stored(token uint64) {
	p.mu.Lock()
	it := p.sent[token]
	if it == nil {
		p.mu.Unlock()
		return
	}
	delete(p.sent, token)
	q := p.lanes[it.lane]
	q.items[0] = nil
	q.items = q.items[1:]
	var next *item
	if len(q.items) > 0 {
		next = q.items[0]
		p.register(next)
	}
	p.tidy(it.lane, q)
	p.mu.Unlock()
	if next != nil {
		p.send(next)
	}
	p.report(it, nil)
}

func (p *publisher) report(it *item, err error) {
	if it.weight > 0 {
		p.room.Release(it.weight)
	}
	it.call.done(it.index, err)
	p.finish(it.call)
}

// refused sends a message again later, or reports it as failed if the reason
// will not pass, or has not for long.
func (p *publisher) refused(token uint64, err error, passing bool) {
	p.mu.Lock()
	it := p.sent[token]
	if it == nil {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	if it.attempts == 0 {
		it.refused = now
	}
	again := passing && now.Sub(it.refused) < refusalTime
	if again {
		it.due = now.Add(backoff(it.attempts))
		it.attempts++
	}
	p.mu.Unlock()
	if !again {
		p.forget(it.lane.Channel)
		p.failItem(token, fmt.Errorf("publish: the NATS server refuses: %w", err))
	}
}
