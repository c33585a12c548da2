// Package soak proves the guarantees on a running system: real processes are
// killed with SIGKILL at random moments while orders come in, and at the end
// the effects are counted in the databases.
//
// An auditor, one more subscriber with a database of its own, writes one row per
// message that it handles; nothing in its table keeps it from writing two. What
// the relays have numbered must be what it has handled: each message once, in
// the order of its lane.
package soak
