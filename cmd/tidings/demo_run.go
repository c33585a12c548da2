package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"tidings.example/broker/natsjs"
	"tidings.example/examples/shared/system"
	"tidings.example/internal/connect"
)

// demo is one run of the sample, or of one process of it.
type demo struct {
	*app
	settings demoSettings
	dir      *dataDir

	nats      *natsjs.Embedded
	broker    *connect.Broker
	databases map[string]*connect.Database
}

// run opens what the processes need, starts them, prints the banner once they
// are ready, and waits for the end of ctx.
func (d *demo) run(ctx context.Context) error {
	if err := d.open(ctx); err != nil {
		return d.explain(err)
	}
	design := d.settings.design()
	addrs := map[string]string{}
	for _, name := range design.Processes() {
		addrs[name] = *d.settings.addrs[name]
	}
	made, err := design.New(system.Config{Processes: d.settings.processes(), Databases: d.databases, Broker: d.broker,
		Prefix: d.settings.channelPrefix(), Addrs: addrs, DrainTimeout: d.settings.drain, Logger: d.log})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	defer work.Wait()
	var failed error
	work.Go(func() {
		failed = made.Run(running)
		cancel() // nobody needs to wait for its readiness any more
	})
	work.Go(func() {
		select {
		case <-d.storeFailed():
			cancel()
		case <-running.Done():
		}
	})
	if d.awaitReady(running, made) == nil {
		d.banner(made)
	}
	<-running.Done()
	if ctx.Err() != nil {
		fmt.Fprintln(d.stdout, "\nStopping: running work finishes. Ctrl-C again does not wait.")
	}
	work.Wait()
	if err := errors.Join(d.storeError(), failed); err != nil {
		return d.explain(err)
	}
	d.close()
	fmt.Fprintln(d.stdout, "Stopped. The same command goes on from here.")
	return nil
}

// storeFailed is closed when the demo's own NATS server can store no more: it
// would go on only after a restart, and do nothing until then.
func (d *demo) storeFailed() <-chan struct{} {
	if d.nats == nil {
		return nil
	}
	return d.nats.Failed()
}

func (d *demo) storeError() error {
	if d.nats == nil {
		return nil
	}
	return d.nats.Err()
}

// explain says what to do about a port that is taken and a disk that is full.
func (d *demo) explain(err error) error {
	text := err.Error()
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(text, "no space left") || strings.Contains(text, "disk is full") {
		return fmt.Errorf("%w; make room for %s and start again, nothing that was accepted is lost", err, d.dir.path)
	}
	return explainListen(err, "--addr")
}

// readyPatience is how long to wait silently for the system to be ready.
const readyPatience = 3 * time.Second

func (d *demo) awaitReady(ctx context.Context, starting *system.System) error {
	limited, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	err := starting.WaitReady(limited)
	if err == nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(d.stderr, "tidings: %s; waiting\n", oneLine(err))
	return starting.WaitReady(ctx)
}

// open opens the broker and the databases, telling what takes time.
func (d *demo) open(ctx context.Context) error {
	var err error
	d.broker, err = retry(ctx, d.app, d.settings.wait, func() (*connect.Broker, error) { return d.openDemoBroker(ctx) })
	if err != nil {
		return err
	}
	d.databases = map[string]*connect.Database{}
	for _, name := range d.settings.processes() {
		if name == system.Gateway {
			continue
		}
		d.databases[name], err = retry(ctx, d.app, d.settings.wait, func() (*connect.Database, error) { return d.openDatabase(ctx, name) })
		if err != nil {
			return err
		}
	}
	return nil
}

// openDatabase opens the database of one service; on a server it is created first.
func (d *demo) openDatabase(ctx context.Context, service string) (*connect.Database, error) {
	options := connect.Options{Logger: d.log, Create: true}
	if d.settings.store.value == "sqlite" {
		return openStore(ctx, "sqlite:"+escapePath(d.dir.file(service+".db")), options)
	}
	d.log.Info("database is opened", "service", service, "server", connect.Redact(d.settings.storeURL))
	limited, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	url, err := connect.EnsureDatabase(limited, d.settings.storeURL, d.settings.prefix+"_"+strings.ReplaceAll(service, "-", "_"), options)
	if err != nil {
		return nil, err
	}
	return openStore(ctx, url, options)
}

// openDemoBroker connects to the broker; where that is the demo's own NATS
// server and everything runs in this process, it starts it here.
func (d *demo) openDemoBroker(ctx context.Context) (*connect.Broker, error) {
	if d.settings.whole() && d.settings.ownNATS() {
		var err error
		if d.nats, err = natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: d.dir.file("nats"), Logger: d.log}); err != nil {
			return nil, err
		}
		b, err := natsjs.Open(ctx, natsjs.Config{Server: d.nats, Member: d.member(), Logger: d.log})
		if err != nil {
			return nil, err
		}
		return connect.NewNATS(b), nil
	}
	url := d.settings.brokerURL
	if d.settings.ownNATS() {
		url = "nats://" + d.settings.natsAddr
	}
	limited, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	b, err := connect.OpenBroker(limited, url, connect.Options{Logger: d.log, Member: d.member()})
	if err != nil && d.settings.ownNATS() {
		err = fmt.Errorf("%w; start it with tidings demo --process broker", err)
	}
	return b, err
}

// member is a name that stays the same for this process of this directory, and
// that no other has: the directory's lock sees to that.
func (d *demo) member() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	sum := sha256.Sum256([]byte(host + "\x00" + d.dir.path))
	name := d.settings.process
	if name == "" {
		name = "all"
	}
	return name + "-" + hex.EncodeToString(sum[:6])
}

// runBroker runs the NATS server alone.
func (d *demo) runBroker(ctx context.Context) error {
	var err error
	d.nats, err = natsjs.StartEmbedded(natsjs.EmbeddedConfig{Dir: d.dir.file("nats"), Addr: d.settings.natsAddr, Logger: d.log})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "broker runs: NATS at nats://%s, data in %s\n", d.nats.Addr(), d.dir.file("nats"))
	select {
	case <-ctx.Done():
		return nil
	case <-d.nats.Failed():
		return d.explain(d.nats.Err())
	}
}

// close closes everything that is open; it may be called twice.
func (d *demo) close() {
	for name, db := range d.databases {
		if db != nil {
			d.closing("database of "+name, db.Close)
		}
	}
	d.databases = nil
	if d.broker != nil {
		d.closing("broker", d.broker.Close)
		d.broker = nil
	}
	if d.nats != nil {
		d.closing("NATS server", d.nats.Close)
		d.nats = nil
	}
}
