package natsjs

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"
)

// EmbeddedConfig says where and how a server inside the process runs.
//
// What the server has acknowledged is in the operating system's hands: it
// survives a kill -9 of the process. When the machine loses power, or its
// kernel dies, the messages of the last SyncInterval may be lost, although
// they were acknowledged; with SyncAlways none are.
type EmbeddedConfig struct {
	// Dir is the directory for everything that is stored; it is created if
	// missing. One server at a time may use it. Required.
	Dir string
	// Addr is the address to listen on for other processes, as "host:port";
	// port 0 takes a free one. Default "": no port at all, the server is
	// reached from inside the process only.
	Addr string
	// User and Password are asked of everybody who connects by Addr. Required
	// where Addr is not a loopback address, which everybody could connect to.
	// The password has at most 72 bytes.
	User, Password string
	// SyncInterval is how often written data is forced to disk. Default 1 s.
	SyncInterval time.Duration
	// SyncAlways forces each message to disk before it is acknowledged. It
	// costs one or two orders of magnitude of throughput.
	SyncAlways bool
	// MaxPayload bounds a message, headers included, in bytes. Default 1 MiB;
	// at most 8 MiB.
	MaxPayload int
	// MaxStore bounds all that is stored, in bytes. Default 0: three quarters
	// of the disk's free space.
	MaxStore int64
	// Logger receives the server's warnings and errors. Default slog.Default().
	Logger *slog.Logger
}

// An Embedded is a NATS server with JetStream inside this process.
type Embedded struct {
	server   *server.Server
	user     string
	password string
	addr     string
	log      *serverLog
	unlock   func()
	stop     sync.Once
}

// StartEmbedded starts a server and waits until it takes connections. It fails
// if the directory cannot be written or is used by another server, and if the
// address is taken.
func StartEmbedded(c EmbeddedConfig) (*Embedded, error) {
	e, err := startEmbedded(c)
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS server: %w", err)
	}
	return e, nil
}

func startEmbedded(c EmbeddedConfig) (*Embedded, error) {
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create directory: %w", err)
	}
	// The server itself would let two of them write into one directory.
	unlock, err := lockDir(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	log := &serverLog{logger: c.Logger, failed: make(chan struct{})}
	s, err := run(options, log)
	if err != nil {
		unlock()
		return nil, err
	}
	e := &Embedded{server: s, user: c.User, password: c.Password, log: log, unlock: unlock}
	if c.Addr != "" {
		e.addr = s.Addr().String()
	}
	return e, nil
}

func (c *EmbeddedConfig) options() (*server.Options, error) {
	switch {
	case c.Dir == "":
		return nil, errors.New("no directory given")
	case (c.User == "") != (c.Password == ""):
		return nil, errors.New("give both user and password, or neither")
	case c.MaxPayload < 0 || c.MaxPayload > 8<<20:
		return nil, fmt.Errorf("maximum payload of %d bytes is not between 1 and %d", c.MaxPayload, 8<<20)
	case c.SyncInterval < 0:
		return nil, errors.New("sync interval is negative")
	}
	// The server asks for hashes. The password itself is in this process, so a
	// cheap one will do; a dear one would make each connection slow.
	var hash []byte
	if c.Password != "" {
		var err error
		if hash, err = bcrypt.GenerateFromPassword([]byte(c.Password), bcrypt.MinCost); err != nil {
			return nil, fmt.Errorf("password cannot be used: %w", err)
		}
	}
	o := &server.Options{
		ServerName:         "tidings-embedded",
		JetStream:          true,
		StoreDir:           c.Dir,
		JetStreamMaxStore:  c.MaxStore,
		JetStreamMaxMemory: 64 << 20,
		SyncInterval:       c.SyncInterval,
		SyncAlways:         c.SyncAlways,
		MaxPayload:         int32(c.MaxPayload),
		Username:           c.User,
		Password:           string(hash),
		DontListen:         c.Addr == "",
		NoSigs:             true,
		NoLog:              true,
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if c.Addr == "" {
		return o, nil
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: write host:port", c.Addr)
	}
	if o.Port, err = strconv.Atoi(port); err != nil || o.Port < 0 || o.Port > 65535 {
		return nil, fmt.Errorf("address %q: the port is not a number from 0 to 65535", c.Addr)
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if c.User == "" && !loopback(host) {
		return nil, fmt.Errorf("address %q can be reached from other machines: give a user and a password", c.Addr)
	}
	o.Host = host
	return o, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// startTime bounds the start, which recovers what is stored.
const startTime = 2 * time.Minute

func run(o *server.Options, log *serverLog) (*server.Server, error) {
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	err = log.fatal()
	if err == nil && s.ReadyForConnections(startTime) && s.JetStreamEnabled() {
		return s, nil
	}
	s.Shutdown()
	s.WaitForShutdown()
	if err == nil {
		err = fmt.Errorf("it does not answer after %s", startTime)
	}
	return nil, err
}

// Addr returns the address that the server listens on, or "" if on none.
func (e *Embedded) Addr() string { return e.addr }

// Failed is closed once the server can store no more in a channel, because the
// disk is full or broken; Err then says why. It stays so, also when there is
// room again, until the server is started anew: what it has acknowledged is
// safe, what it has not will be published again.
func (e *Embedded) Failed() <-chan struct{} { return e.log.failed }

// Err returns why the server can store no more, or nil.
func (e *Embedded) Err() error { return e.log.writeError() }

// Close stops the server after it has written everything, and waits for it.
// Brokers that use the server should be closed first. It may be called twice.
func (e *Embedded) Close() error {
	e.stop.Do(func() {
		e.server.Shutdown()
		e.server.WaitForShutdown()
		e.unlock()
	})
	return nil
}

func (e *Embedded) options() []nats.Option {
	options := []nats.Option{nats.InProcessServer(e.server)}
	if e.user != "" {
		options = append(options, nats.UserInfo(e.user, e.password))
	}
	return options
}
