package natsjs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/semaphore"
)

// What may be on its way: room for 64 MiB, of which each message takes 16 KiB
// more than its size, so that there are at most 4,096.
const (
	roomWeight = 64 << 20
	itemWeight = 16 << 10
)

const (
	// ackTime is how long an acknowledgement is waited for before the message
	// is sent again.
	ackTime = 5 * time.Second
	// refusalTime is how long a message is sent again that the server refuses
	// for a reason that may pass.
	refusalTime = 30 * time.Second
	// tick is how often overdue messages are looked for, while there are any
	// on their way.
	tick = 50 * time.Millisecond
)

// A publisher sends messages, in each lane one at a time.
//
// This is what keeps the order: a message is sent for the first time only when
// all earlier ones of its lane are known to be stored. Whatever happens to it
// then (it is lost, refused, or stored while its acknowledgement is lost), it
// is sent again, or reported as failed together with all that wait behind it.
// A copy of it that was delayed may be stored behind its successors, as a
// repetition of what is there already.
type publisher struct {
	conn   *nats.Conn
	log    *slog.Logger
	forget func(channel string)
	// denied returns the error of a publication that is not permitted.
	denied func(subject string, since time.Time) error
	room   *semaphore.Weighted
	// inbox begins the reply subjects; what follows is an item's token.
	inbox string
	acks  *nats.Subscription

	mu     sync.Mutex
	lanes  map[lane]*queue
	sent   map[uint64]*item // by token: those on their way, or about to be
	calls  map[*call]bool   // running calls of Publish
	token  uint64
	closed bool

	wake    chan struct{}
	quit    chan struct{}
	running sync.WaitGroup
}

// A queue holds the messages of one lane that are not acknowledged; the first
// one is on its way.
type queue struct {
	items []*item
	// failing counts the running calls of failFrom; while there are any, what
	// is added goes to late, and fails.
	failing int
	late    []*item
}

// An item is one message that is to be published.
type item struct {
	call   *call
	index  int
	lane   lane
	msg    *nats.Msg
	weight int64

	token uint64
	began time.Time
	// due is when it is to be sent, or sent again.
	due time.Time
	// refused is when the server refused it for the first time, attempts how
	// often since.
	refused  time.Time
	attempts int
}

func startPublisher(b *Broker) (*publisher, error) {
	p := &publisher{
		log:    b.log,
		forget: b.channels.forget,
		denied: b.denials.find,
		room:   semaphore.NewWeighted(roomWeight),
		inbox:  nats.NewInbox() + ".",
		lanes:  map[lane]*queue{},
		sent:   map[uint64]*item{},
		calls:  map[*call]bool{},
		wake:   make(chan struct{}, 1),
		quit:   make(chan struct{}),
	}
	var err error
	if p.conn, err = b.connect("publish", p.lost, p.hurry); err != nil {
		return nil, err
	}
	if p.acks, err = p.conn.Subscribe(p.inbox+"*", p.answer); err != nil {
		p.conn.Close()
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	// Every message has at most one small answer per attempt.
	if err := p.acks.SetPendingLimits(-1, -1); err != nil {
		p.conn.Close()
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	p.running.Go(p.tend)
	return p, nil
}

func (p *publisher) begin(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[c] = true
	c.unwatch = context.AfterFunc(c.ctx, func() { p.expire(c) })
}

func (p *publisher) end(c *call) {
	p.mu.Lock()
	delete(p.calls, c)
	p.mu.Unlock()
	p.finish(c)
}

// finish counts one message of a call as reported.
func (p *publisher) finish(c *call) {
	p.mu.Lock()
	c.open--
	over := c.open == 0
	p.mu.Unlock()
	if over {
		c.unwatch()
	}
}

// add puts a message behind those of its lane, or sends it.
func (p *publisher) add(it *item) {
	p.mu.Lock()
	it.call.open++
	q := p.lanes[it.lane]
	err := it.call.failed[it.lane]
	if p.closed {
		err = ErrClosed
	} else if err == nil {
		err = it.call.ctx.Err()
	}
	if q == nil {
		q = &queue{}
		p.lanes[it.lane] = q
	}
	if q.failing > 0 {
		q.late = append(q.late, it)
		p.mu.Unlock()
		return
	}
	q.items = append(q.items, it)
	if err != nil {
		p.failFrom(q, it, err)
		return
	}
	first := q.items[0] == it
	if first {
		p.register(it)
	}
	p.mu.Unlock()
	if first {
		p.send(it)
	}
}

// refuse reports a message that could not even be queued, and marks its lane.
func (p *publisher) refuse(it *item, err error) {
	p.mu.Lock()
	it.call.fail(it.lane, err)
	p.mu.Unlock()
	p.add(it)
}

// register gives an item its token. p.mu is held.
func (p *publisher) register(it *item) {
	p.token++
	it.token = p.token
	it.msg.Reply = p.inbox + strconv.FormatUint(it.token, 36)
	it.began = time.Now()
	it.due = it.began.Add(ackTime)
	p.sent[it.token] = it
	if len(p.sent) == 1 {
		p.hurry()
	}
}

// send sends an item that was registered.
func (p *publisher) send(it *item) {
	err := p.conn.PublishMsg(it.msg)
	switch {
	case err == nil:
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject), errors.Is(err, nats.ErrBadHeaderMsg):
		p.failItem(it.token, fmt.Errorf("publish: %w", err))
	default:
		// The connection is away: it goes out as soon as it is back.
		p.mu.Lock()
		it.due = time.Now().Add(tick)
		p.mu.Unlock()
	}
}
