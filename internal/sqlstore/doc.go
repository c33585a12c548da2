// Package sqlstore holds what the stores over database/sql share and that is no
// SQL: how an outbox row becomes a message, how positions become ranges, how an
// append wakes a relay of the same process. The statements stay in each store.
package sqlstore
