// Package event publishes and receives domain events: things that happened to
// an aggregate, as Go types with names that the user chooses.
//
// A service publishes the events of its aggregates with a [Publisher], in the
// transaction that changes the aggregate; all events of one aggregate have its
// id as key, and so stay in order. Another one registers typed handlers with
// [On] at a [Subscriber], whose inbox calls each exactly once per event, in the
// transaction that the handler changes its own data in. What a handler
// publishes names the handled event as its cause.
//
// Types are skipped that a subscriber has no handler for, so a publisher may
// add some. A payload that cannot be decoded is parked, never dropped.
//
// Nothing is registered globally and nothing is found by reflection on names: a
// handler that does not fit its event does not compile. To test a service, use
// store/memory and broker/inproc, as the package's example does.
package event
