// Package timer does things at times that a database keeps: it sends delayed
// messages, and wakes sagas that time out.
//
// A [Runner] asks its [Source]s when the next thing is due, waits, and lets them
// do it, each thing in a transaction that also removes it. So a thing is done
// once, by one of any number of runners, whichever of them is killed when; and
// never before its time, by the runner's clock.
package timer
