package natsjs

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes the server's warnings and errors on. It keeps the first
// fatal error, which is why a start fails, where the server's own logger would
// end the process; and the first error after which the server stores no more,
// which it tells nobody else.
type serverLog struct {
	logger *slog.Logger
	failed chan struct{} // closed when write is set
	mu     sync.Mutex
	err    error
	write  error
}

func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *serverLog) writeError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write
}

// Fatalf is called when the server cannot go on.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf(format, v...)
	}
}

// criticalWrite is how the server's file store begins the report that it has
// stopped writing.
const criticalWrite = "Critical write error: "

// Errorf is called for what went wrong.
func (l *serverLog) Errorf(format string, v ...any) {
	message := fmt.Sprintf(format, v...)
	l.logger.Error("embedded NATS server", "message", message)
	_, reason, ok := strings.Cut(message, criticalWrite)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.write == nil {
		l.write = fmt.Errorf("embedded NATS server stores no more: %s", reason)
		close(l.failed)
	}
}

// Warnf is called for what may go wrong.
func (l *serverLog) Warnf(format string, v ...any) {
	l.logger.Warn("embedded NATS server", "message", fmt.Sprintf(format, v...))
}

// Noticef, Debugf and Tracef are for the server's developers.
func (*serverLog) Noticef(string, ...any) {}
func (*serverLog) Debugf(string, ...any)  {}
func (*serverLog) Tracef(string, ...any)  {}
