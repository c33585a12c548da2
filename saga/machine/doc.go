// Package machine decides what a saga does next. It is a state machine without
// I/O: [Advance] takes a plan, an instance and an input, and returns the instance
// as it is then and what is to be done. Package saga does it, in the
// transaction that stores the instance; tests play it by scripts.
//
// It knows names, phases, attempts and times, but no data: whether a condition
// holds, and what a local step came to, are inputs.
package machine
