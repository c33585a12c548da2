package command

import (
	"slices"
	"sync"
)

// Skip counts commands of one type that had no handler.
type Skip struct {
	Channel, Participant, Type string
	Count                      uint64
}

// maxSkips bounds the types that are counted apart; the rest is counted
// together under the type "", since types come from outside.
const maxSkips = 200

type skips struct {
	mu     sync.Mutex
	counts []Skip
}

func (s *skips) add(skip Skip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.counts) >= maxSkips && s.find(skip) < 0 {
		skip = Skip{}
	}
	i := s.find(skip)
	if i < 0 {
		i = len(s.counts)
		s.counts = append(s.counts, skip)
	}
	s.counts[i].Count++
}

func (s *skips) find(skip Skip) int {
	return slices.IndexFunc(s.counts, func(c Skip) bool {
		c.Count = skip.Count
		return c == skip
	})
}

func (s *skips) list() []Skip {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.counts)
}

// maxIDs bounds an idSet.
const maxIDs = 1000

// An idSet remembers some ids for a while.
type idSet struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (s *idSet) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil || len(s.ids) >= maxIDs {
		s.ids = map[string]bool{}
	}
	s.ids[id] = true
}

func (s *idSet) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}
