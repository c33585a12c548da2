package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// child is a running Process.
type child struct {
	Process
	program, dir string
	cmd          *exec.Cmd
	exited       chan error
}

func (c *child) start(context.Context) error {
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
	exited := make(chan error, 1)
	c.exited = exited
	go func(cmd *exec.Cmd) { exited <- cmd.Wait() }(c.cmd)
	return nil
}

func (c *child) log() string {
	return filepath.Join(c.dir, strings.ReplaceAll(c.Name, " ", "-")+".log")
}

func (c *child) kill(context.Context) error {
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.Name, err)
	}
	<-c.exited
	return nil
}

// stop asks the process to end, and is not content with less than exit code 0.
func (c *child) stop(ctx context.Context) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.Name, err)
	}
	select {
	case err := <-c.exited:
		if err != nil {
			return fmt.Errorf("%s ended with %w; see %s", c.Name, err, c.log())
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
