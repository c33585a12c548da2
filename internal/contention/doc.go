// Package contention holds the test in which sagas on real servers contend for
// the locks of one participant. It stands apart from package command, whose fuzz
// targets are built with all that the tests beside them import.
package contention
