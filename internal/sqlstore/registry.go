package sqlstore

import "sync"

// A Registry keeps one value per database for all handles that this process has
// open on it, so that they find each other.
type Registry[T any] struct {
	mu      sync.Mutex
	entries map[string]*entry[T]
}

type entry[T any] struct {
	value T
	users int
}

// Get returns the value for key, which is a zero T the first time, and a
// function that gives it back; after the last user has done so it is forgotten.
func (r *Registry[T]) Get(key string) (*T, func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.entries == nil {
		r.entries = map[string]*entry[T]{}
	}
	e := r.entries[key]
	if e == nil {
		e = &entry[T]{}
		r.entries[key] = e
	}
	e.users++
	return &e.value, sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(r.entries, key)
		}
	})
}
