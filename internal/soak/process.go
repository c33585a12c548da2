package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A target is something that can be killed and started again.
type target interface {
	start(ctx context.Context) error
	// kill ends it without a chance to clean up.
	kill(ctx context.Context) error
	// stop ends it cleanly.
	stop(ctx context.Context) error
}

// A Process is one of the system's programs.
type Process struct {
	Name string
	// Args are those of the program tidings.
	Args []string
	// Env is added to this process's environment; URLs go here, so that
	// passwords are not in process lists.
	Env []string
	// Health, if not empty, is a URL that answers 200 once the process works.
	Health string
}

// child is a running Process, under supervision: when it ends by itself, for
// example because its database was away when it started, it is started again,
// as every init system does.
type child struct {
	Process
	program, dir string

	mu     sync.Mutex
	cmd    *exec.Cmd
	wanted bool
	last   error         // how it ended the last time
	ended  chan struct{} // closed when it has ended and is not wanted
}

// restartDelay is what a supervisor waits before it starts a process again.
const restartDelay = 500 * time.Millisecond

func (c *child) start(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted, c.ended = true, make(chan struct{})
	if err := c.spawn(); err != nil {
		return err
	}
	go c.supervise(c.ended)
	return nil
}

// spawn starts the program. The caller holds the mutex.
func (c *child) spawn() error {
	log, err := os.OpenFile(c.log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", c.Name, err)
	}
	// The child has its own copy of the descriptor.
	defer log.Close()
	c.cmd = exec.Command(c.program, c.Args...)
	c.cmd.Env = append(os.Environ(), c.Env...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.Name, err)
	}
	return nil
}

func (c *child) supervise(ended chan struct{}) {
	defer close(ended)
	for {
		c.mu.Lock()
		cmd := c.cmd
		c.mu.Unlock()
		err := cmd.Wait()
		c.mu.Lock()
		c.last = err
		wanted := c.wanted
		c.mu.Unlock()
		if !wanted {
			return
		}
		time.Sleep(restartDelay)
		c.mu.Lock()
		if c.wanted {
			c.last = c.spawn()
		}
		stop := !c.wanted || c.last != nil
		c.mu.Unlock()
		if stop {
			return
		}
	}
}

func (c *child) log() string {
	return filepath.Join(c.dir, strings.ReplaceAll(c.Name, " ", "-")+".log")
}

// signal sends a signal to the process, which is not wanted from now on.
func (c *child) signal(s os.Signal) (ended chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = false
	err = c.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return c.ended, err
}

func (c *child) kill(context.Context) error {
	ended, err := c.signal(os.Kill)
	if err != nil {
		return fmt.Errorf("kill %s: %w", c.Name, err)
	}
	<-ended
	return nil
}

// stop asks the process to end, and is not content with less than exit code 0.
func (c *child) stop(ctx context.Context) error {
	ended, err := c.signal(syscall.SIGTERM)
	if err != nil {
		return fmt.Errorf("stop %s: %w", c.Name, err)
	}
	select {
	case <-ended:
		if c.last != nil {
			return fmt.Errorf("%s ended with %w; see %s", c.Name, c.last, c.log())
		}
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(fmt.Errorf("%s did not stop within 30s of SIGTERM; see %s", c.Name, c.log()), c.kill(ctx))
	}
}

// server is a database or broker that scripts/servers runs.
type server struct{ script, name string }

func (s server) start(ctx context.Context) error { return s.run(ctx, "start") }
func (s server) kill(ctx context.Context) error  { return s.run(ctx, "kill") }

// stop leaves the server running: it was there before.
func (s server) stop(context.Context) error { return nil }

func (s server) run(ctx context.Context, verb string) error {
	out, err := exec.CommandContext(ctx, s.script, verb, s.name).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s %s: %w: %s", s.script, verb, s.name, err, out)
	}
	return nil
}
