package binlog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

const (
	// The server says something this often, and a connection on which nothing
	// comes for so long is dead.
	heartbeat = 3 * time.Second
	silence   = 9 * time.Second
	// While the broker is slow nothing is read; the server gives up after so long.
	writePatience = 600 * time.Second
)

// A stream is one connection on which the server sends its log.
type stream struct {
	syncer *replication.BinlogSyncer
	done   chan struct{} // closed when err is set
	err    error

	mu     sync.Mutex
	conn   net.Conn
	closed bool
}

// open asks the server for its log behind a place. handle gets each event, in a
// goroutine of the stream, and may block; its error ends the stream.
func (s *Source) open(ctx context.Context, from *place, handle func(*replication.BinlogEvent) error) (*stream, error) {
	cfg := s.access.Config()
	st := &stream{done: make(chan struct{})}
	// The client dials for itself; what it dials is kept, so that it can be cut.
	st.syncer = replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: s.serverID(), Flavor: s.flavor(), Host: cfg.Addr, User: cfg.User, Password: cfg.Passwd,
		Localhost: "tidings", TLSConfig: s.tlsConfig(cfg), RawModeEnabled: true, HeartbeatPeriod: heartbeat,
		DisableRetrySync: true, DiscardGTIDSet: true, EventCacheCount: 1, Logger: slog.New(slog.DiscardHandler),
		Dialer:                  st.dialer(ctx, cfg),
		SynchronousEventHandler: handler(handle),
		Option: func(c *client.Conn) error {
			_, err := c.Execute(fmt.Sprintf("SET SESSION net_write_timeout = %d", int(writePatience.Seconds())))
			return err
		},
	})
	cut := context.AfterFunc(ctx, st.cut)
	var streamer *replication.BinlogStreamer
	var err error
	if from.set != nil {
		var set gomysql.GTIDSet
		if set, err = gomysql.ParseGTIDSet(s.flavor(), from.set.String()); err == nil {
			streamer, err = st.syncer.StartSyncGTID(set)
		}
	} else if from.at > math.MaxUint32 {
		err = fmt.Errorf("the place %s:%d is behind 4 GiB, where a file cannot be opened", from.file, from.at)
	} else {
		streamer, err = st.syncer.StartSync(gomysql.Position{Name: from.file, Pos: uint32(from.at)})
	}
	if !cut() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		s.close(st)
		return nil, s.explain(plain(err))
	}
	go func() {
		_, err := streamer.GetEvent(context.Background())
		st.err = plain(err)
		close(st.done)
	}()
	return st, nil
}

// tlsConfig is what the client needs where a connection without TLS is allowed:
// it cannot fall back, so it asks the pool's connections what the server has.
func (s *Source) tlsConfig(cfg *driver.Config) *tls.Config {
	if cfg.TLS == nil || cfg.AllowFallbackToPlaintext && !s.encrypted {
		return nil
	}
	return cfg.TLS.Clone()
}

type handler func(*replication.BinlogEvent) error

func (h handler) HandleEvent(e *replication.BinlogEvent) error { return h(e) }

func (st *stream) dialer(ctx context.Context, cfg *driver.Config) client.Dialer {
	return func(_ context.Context, _, _ string) (net.Conn, error) {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.closed || st.conn != nil {
			return nil, net.ErrClosed // it would only kill the connection that is closed already
		}
		d := net.Dialer{Timeout: cfg.Timeout, KeepAlive: heartbeat}
		conn, err := d.DialContext(ctx, cfg.Net, cfg.Addr)
		if err != nil {
			return nil, err
		}
		st.conn = &patientConn{Conn: conn}
		return st.conn, nil
	}
}

// cut ends the connection, whatever it is doing.
func (st *stream) cut() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	if st.conn != nil {
		_ = st.conn.Close()
	}
}

// killPatience bounds what the end of a stream waits for the server.
const killPatience = time.Second

// close ends the stream. No event is handled after it. The server would notice
// the end of the connection only when it has something to send, and keep the
// files of the log until then: it is told.
func (s *Source) close(st *stream) {
	st.cut()
	st.syncer.Close()
	if id := st.syncer.LastConnectionID(); id > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), killPatience)
		defer cancel()
		_, _ = s.access.Pool().ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id))
	}
}

// patientConn gives up a connection that is silent, counted from when it is
// read: not while the reader itself waits.
type patientConn struct {
	net.Conn
}

func (c *patientConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// randomServerID is in the upper half of the numbers, where people put none.
func randomServerID() uint32 { return 1<<31 | rand.Uint32() }

// plain takes the stack traces off an error of the client.
func plain(err error) error {
	for {
		if server, ok := err.(*gomysql.MyError); ok {
			return &driver.MySQLError{Number: server.Code, Message: server.Message}
		}
		wrapped, ok := err.(interface{ Cause() error })
		if !ok {
			return err
		}
		inner := wrapped.Cause()
		if inner == nil || inner == err {
			return err
		}
		err = inner
	}
}

// The server's error numbers.
const (
	codeReadingLog      = 1236
	codeNoPrivilege     = 1227
	codeAccessDenied    = 1045
	codeTableAccess     = 1142
	codeNoTable         = 1146
	codeChanged         = 1412
	codeLockWait        = 1205
	codeDatabaseAccess  = 1044
	codeUnknownVariable = 1193
)

func code(err error) uint16 {
	var e *driver.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

const lacks = "the user lacks a privilege for the binary log"

// explain names what to do about an error of the server.
func (s *Source) explain(err error) error {
	if err == nil || strings.Contains(err.Error(), lacks) {
		return err
	}
	switch code(err) {
	case codeNoPrivilege, codeDatabaseAccess, codeTableAccess, codeAccessDenied: // the password is right: the pool connects
		return fmt.Errorf(lacks+" (%w): run %s", err, s.grants())
	case codeReadingLog:
		if strings.Contains(err.Error(), "max_allowed_packet") {
			return fmt.Errorf("an event of the log is larger than the server sends: raise max_allowed_packet: %w", err)
		}
	}
	return s.access.Explain(err)
}
