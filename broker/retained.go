package broker

import (
	"context"
	"errors"
	"time"

	"tidings.example"
)

// A RetainedReader reads what a broker still holds of a channel, for audits. It
// belongs to no subscriber: nothing is stored at the broker, and nobody's
// position changes.
type RetainedReader interface {
	// ReadRetained calls extent once, and then record for every record that the
	// channel held when ReadRetained was called, from one goroutine. Records of
	// one partition come in the order in which they are stored; partitions
	// are mixed. What the functions return ends the reading.
	//
	// The error wraps ErrNoChannel where the channel does not exist, and
	// ErrOvertaken where the broker removed records before they were read.
	// Interrupted connections are tried again until ctx is done. A record's
	// message may share memory with the broker's answer, and is valid until
	// record returns.
	ReadRetained(ctx context.Context, channel string, r TimeRange, extent func(Extent) error, record func(*Retained) error) error
}

// A TimeRange selects records by when the broker stored them: not before Since,
// and before Until. A zero time is no bound.
type TimeRange struct{ Since, Until time.Time }

// An Extent is what is about to be read.
type Extent struct {
	// Records is about how many records will be read.
	Records int64
	// Partitions is the number of the channel's partitions.
	Partitions int
	// Trimmed tells, for each partition, whether records were removed from its
	// beginning: by retention, or by hand.
	Trimmed []bool
}

// Retained is one record as the broker holds it.
type Retained struct {
	Partition int
	// Offset orders the records of a partition.
	Offset int64
	// Stored is when the broker got the record.
	Stored time.Time
	// Message and Err are as in a [Delivery].
	Message tidings.Message
	Err     error
}

var (
	// ErrNoChannel is wrapped by the error for a channel that does not exist.
	ErrNoChannel = errors.New("channel does not exist at the broker")
	// ErrOvertaken is wrapped by the error for records that the broker removed
	// while they were to be read.
	ErrOvertaken = errors.New("records were removed while they were read")
)
