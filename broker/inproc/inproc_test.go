package inproc_test

import (
	"testing"

	"tidings.example/broker/brokertest"
	"tidings.example/broker/inproc"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, func(t *testing.T) brokertest.Broker {
		return interruptible{inproc.New(inproc.Config{MaxMessage: 2 << 20})}
	})
}

type interruptible struct{ *inproc.Broker }

func (b interruptible) Interrupt(testing.TB) { b.Cut()() }
