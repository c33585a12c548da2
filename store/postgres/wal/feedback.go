package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// timing is how long the two sides of a connection may be silent.
type timing struct {
	// answer is how often the server hears of us.
	answer time.Duration
	// silence is how long the server may be silent: then it is asked for an
	// answer, and after as much again it is gone.
	silence time.Duration
}

// timingFor goes by the server's wal_sender_timeout, 0 being none.
func timingFor(timeout time.Duration) timing {
	t := timing{answer: 5 * time.Second, silence: 5 * time.Second}
	if timeout > 0 {
		t.answer = min(t.answer, max(timeout/6, 50*time.Millisecond))
		t.silence = min(t.silence, max(timeout/6, 50*time.Millisecond))
	}
	return t
}

var errSilent = errors.New("the server is not heard of any more, though it was asked for an answer")

// answer tells the server how far it need not keep its log, whenever that has
// changed, when it asks, and from time to time. It returns when ctx is done or the
// connection is dead.
func (s *stream) answer(ctx context.Context) error {
	tick := time.NewTicker(min(s.timing.answer, s.timing.silence) / 2)
	defer tick.Stop()
	var sent uint64
	var sentAt, askedAt time.Duration
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-tick.C:
		}
		now := time.Since(s.began)
		silent := now - time.Duration(s.received.Load())
		ask := false
		switch {
		case s.waiting.Load() || silent < s.timing.silence:
			askedAt = 0
		case askedAt == 0:
			ask, askedAt = true, now
		case now-askedAt >= s.timing.silence:
			return errSilent
		}
		confirmed := s.confirmed.Load()
		if !ask && confirmed == sent && !s.asked.Swap(false) && now-sentAt < s.timing.answer {
			continue
		}
		if err := s.send(confirmed, ask); err != nil {
			return err
		}
		sent, sentAt = confirmed, now
	}
}

// statusSize is that of a status update, as the content of a copy message.
const statusSize = 1 + 3*8 + 8 + 1

// send sends a status update. All three positions are the confirmed one: nothing
// that was merely received counts.
func (s *stream) send(confirmed uint64, ask bool) error {
	b := make([]byte, 0, frameHeader+statusSize)
	b = append(b, 'd')
	b = binary.BigEndian.AppendUint32(b, 4+statusSize)
	b = append(b, 'r')
	for range 3 {
		b = binary.BigEndian.AppendUint64(b, confirmed)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-microsToYear2000))
	if ask {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(2 * s.timing.silence)); err != nil {
		return fmt.Errorf("answer the server: %w", err)
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("answer the server: %w", err)
	}
	return nil
}

// goodbye ends the connection in order, with what was confirmed last.
func (s *stream) goodbye() {
	// Whatever fails here, the connection is closed next.
	if s.send(s.confirmed.Load(), false) == nil {
		_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4})
	}
}
