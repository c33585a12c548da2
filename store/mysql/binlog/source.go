package binlog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"tidings.example/relay"
	"tidings.example/store/mysql"
)

// Source is the outbox of a database, which can be read from the table and from
// the server's binary log.
type Source struct {
	relay.Source
	db       *mysql.DB
	access   *mysql.LogAccess
	unable   error // why there is no access
	options  Options
	database string

	// What the server says, since the last Tail.
	fold      bool // names of tables do not tell upper from lower case
	byGTID    bool
	encrypted bool // the pool's connections are

	mu sync.Mutex
	// lost says why the log cannot be read on over a place.
	lost     string
	lostFile string
	lostAt   int64
	// alone is the fence of a holder without a connection, and since when.
	alone      int64
	aloneSince time.Time
	aloneTook  time.Duration // how long that look took
}

// Options are settings that are seldom needed.
type Options struct {
	// ServerID is the number under which the reader registers as a replica. No
	// other replica of the server may have it. Default: a random one above 2^31,
	// another each time.
	ServerID uint32
	// Logger gets what goes wrong beside the reading, such as published rows that
	// cannot be removed. Default: nothing is logged.
	Logger *slog.Logger
	// byFile is for tests: positions are files and offsets though there are GTIDs.
	byFile bool
}

var _ relay.LogSource = (*Source)(nil)

// New returns the outbox of db under the name of its source, as db.Relay does,
// for a relay that reads it from the log. Where db has no settings for
// connections of its own (see mysql.New), only the table can be read: Tail returns an error that says so.
func New(db *mysql.DB, source string, options Options) *Source {
	s := &Source{Source: db.Relay(source), db: db, options: options}
	if s.access, s.unable = db.LogAccess(); s.unable == nil {
		s.database = s.access.Config().DBName
	}
	return s
}

// alonePatience is how long a holder must at least have been without a
// connection. Between taking the lease and taking the lock it opens one, which
// takes several round trips. So it is given aloneFactor times as long as it takes to look, which
// takes two.
const (
	alonePatience = 200 * time.Millisecond
	aloneFactor   = 10
)

// Acquire takes the lease as the polling source does. If the holder of a lease
// that still runs reads the log, and has had no connection to the server for 200 ms, or for
// longer where the network is slow, it is dead, and its lease is taken: this needs two calls.
func (s *Source) Acquire(ctx context.Context, holder string, ttl time.Duration) (relay.Session, relay.State, error) {
	session, st, err := s.Source.Acquire(ctx, holder, ttl)
	if s.unable != nil {
		return session, st, err
	}
	var held *relay.HeldError
	if errors.As(err, &held) && s.dead(ctx) {
		session, st, err = s.Source.Acquire(ctx, holder, ttl)
	}
	if err != nil {
		return nil, relay.State{}, err
	}
	// Without the lock a successor waits for the end of the lease, no more.
	_ = s.access.HoldLock(ctx, session)
	return session, st, nil
}

// dead tells whether the lease was ended because its holder has died.
func (s *Source) dead(ctx context.Context) bool {
	asked := time.Now()
	fence, alone, err := s.access.Alone(ctx, s.Name())
	took := time.Since(asked)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil || !alone:
		s.alone = 0
	case s.alone != fence:
		s.alone, s.aloneSince, s.aloneTook = fence, time.Now(), took
	case asked.Sub(s.aloneSince) >= max(alonePatience, aloneFactor*max(took, s.aloneTook)):
		s.alone = 0
		return s.access.EndLease(ctx, s.Name(), fence) == nil
	}
	return false
}

// forget remembers that the log cannot be read over a place.
func (s *Source) forget(file string, at int64, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost, s.lostFile, s.lostAt = why, file, at
}

// whyLost tells why the log cannot be read on from a place, if that was found out.
func (s *Source) whyLost(p *place) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if later(p.file, s.lostFile) || p.file == s.lostFile && p.at > s.lostAt {
		return ""
	}
	return s.lost
}

func (s *Source) same(database string) bool {
	return database == s.database || s.fold && strings.EqualFold(database, s.database)
}

func (s *Source) serverID() uint32 {
	if s.options.ServerID != 0 {
		return s.options.ServerID
	}
	return randomServerID()
}
