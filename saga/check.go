package saga

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tidings.example/saga/machine"
)

// An IncompatibleError ends [Manager.Run] before anything is begun: there are unfinished sagas
// that cannot go on under the definitions of this program.
type IncompatibleError struct {
	// Sagas are those that cannot go on, at most 20, and Reasons why, index by index.
	Sagas   []Ref
	Reasons []string
	// More is how many there are besides.
	More int64
}

func (e *IncompatibleError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d unfinished sagas cannot go on under the definitions of this program:", int64(len(e.Sagas))+e.More)
	for i, ref := range e.Sagas {
		fmt.Fprintf(&b, "\n  %s %q: %s", ref.Type, ref.ID, e.Reasons[i])
	}
	if e.More > 0 {
		fmt.Fprintf(&b, "\n  and %d more", e.More)
	}
	b.WriteString("\nkeep the steps that they are at, or run the earlier program until they have ended (tidings saga list), " +
		"or end them there with tidings saga compensate or fail")
	return b.String()
}

const (
	maxIncompatible = 20
	checkPage       = 500
)

func (e *IncompatibleError) add(ref Ref, reason string) {
	if len(e.Sagas) == maxIncompatible {
		e.More++
		return
	}
	e.Sagas, e.Reasons = append(e.Sagas, ref), append(e.Reasons, reason)
}

// begin stores the definitions and checks that unfinished sagas can go on under
// them. While the database is away it tries again.
func (m *Manager[Tx]) begin(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := m.check(ctx)
		if err == nil {
			m.setReady(nil)
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		m.setReady(err)
		if !m.cfg.Store.Transient(err) {
			return err
		}
		m.cfg.Logger.Warn("sagas cannot begin, trying again", "service", m.cfg.Name, "error", err, "after", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

func (m *Manager[Tx]) check(ctx context.Context) error {
	for name, d := range m.definitions {
		plan, err := dataCodec.Encode(d.Plan())
		if err != nil {
			return fmt.Errorf("encode the definition of saga %q: %w", name, err)
		}
		if err := m.cfg.Store.Define(ctx, name, m.prints[name], plan, m.now()); err != nil {
			return fmt.Errorf("store the definition of saga %q: %w", name, err)
		}
	}
	prints, err := m.cfg.Store.Fingerprints(ctx)
	if err != nil {
		return fmt.Errorf("count unfinished sagas: %w", err)
	}
	var bad IncompatibleError
	for _, p := range prints {
		if p.Fingerprint == m.prints[p.Type] {
			continue
		}
		if err := m.checkPrint(ctx, p, &bad); err != nil {
			return err
		}
	}
	if len(bad.Sagas) > 0 {
		return &bad
	}
	return nil
}

// checkPrint looks at the unfinished sagas that were changed last under another definition.
func (m *Manager[Tx]) checkPrint(ctx context.Context, p Fingerprint, bad *IncompatibleError) error {
	def := m.definitions[p.Type]
	for after := ""; ; {
		records, err := m.cfg.Store.Unfinished(ctx, p.Type, p.Fingerprint, after, checkPage)
		if err != nil {
			return fmt.Errorf("read unfinished sagas: %w", err)
		}
		for i := range records {
			if err := continues(def, &records[i]); err != nil {
				bad.add(records[i].Ref, err.Error())
			}
		}
		if len(records) < checkPage {
			return nil
		}
		after = records[len(records)-1].ID
	}
}

func continues(def AnyDefinition, r *Record) error {
	if def == nil {
		return fmt.Errorf("there is no definition of saga %q: add it to Definitions", r.Type)
	}
	s, err := decodeStored(r)
	if err != nil {
		return err
	}
	return machine.Continues(def.Plan(), &s.Instance)
}
