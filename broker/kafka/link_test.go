package kafka_test

import (
	"context"
	"errors"
	"net"
	"sync"
)

// A link is the network between a broker and its cluster.
type link struct {
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

var errDown = errors.New("the test has cut the network")

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	down := l.down
	l.mu.Unlock()
	if down {
		return nil, errDown
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.Join(errDown, conn.Close())
	}
	if l.conns == nil {
		l.conns = map[net.Conn]bool{}
	}
	l.conns[conn] = true
	return conn, nil
}

// allow cuts all connections, or lets them be made again.
func (l *link) allow(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = !up
	if up {
		return
	}
	for conn := range l.conns {
		conn.Close()
		delete(l.conns, conn)
	}
}
