package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"

	"tidings.example/inbox"
	"tidings.example/internal/connect"
	"tidings.example/relay"
)

// Counts is what a run found in the databases.
type Counts struct {
	Seed      uint64 `json:"seed"`
	Strikes   int    `json:"kills"`
	Orders    int    `json:"orders"`
	Approved  int    `json:"approved"`
	Cancelled int    `json:"cancelled"`
	// Committed is the number of messages that the relays have numbered,
	// Handled the number of rows that the auditor's handler has left.
	Committed uint64 `json:"committed"`
	Handled   uint64 `json:"handled"`
	// Lost, Twice and OutOfOrder are what must be 0.
	Lost       uint64 `json:"lost"`
	Twice      uint64 `json:"handledTwice"`
	OutOfOrder uint64 `json:"outOfOrder"`
	// Losses counts the strikes that took the log away from the relays, and
	// Repeated the messages that were handled again after one, under a new epoch.
	Losses   int    `json:"logLosses"`
	Repeated uint64 `json:"repeatedAfterLoss"`
	// NotCommitted counts handled messages that nobody committed: must be 0.
	NotCommitted uint64 `json:"notCommitted"`
	// Epochs is the number of epochs of all sources: one each, and no more unless
	// the log was lost.
	Epochs int `json:"epochs"`
	// Completed and Compensated count the sagas of an orchestrated system by how they ended;
	// Created are those of Completed that have made an order.
	Completed   int64 `json:"sagasCompleted,omitempty"`
	Created     int64 `json:"sagasCreated,omitempty"`
	Compensated int64 `json:"sagasCompensated,omitempty"`
	// Parked counts messages that an inbox has set aside: none should be.
	Parked int `json:"parked"`
}

// lane names one lane in all databases.
type lane struct {
	source, epoch, channel string
	n                      int
}

// numbered adds what a producer's relay has numbered.
func numbered(ctx context.Context, db *connect.Database, into map[lane]uint64) (epochs int, err error) {
	rows, err := db.SQL.QueryContext(ctx, `SELECT c.source, r.epoch, c.channel, c.counters
		FROM tidings_relay_counters c JOIN tidings_relay r ON r.source = c.source`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var l lane
		var encoded []byte
		if err := rows.Scan(&l.source, &l.epoch, &l.channel, &encoded); err != nil {
			return 0, err
		}
		counters, err := relay.DecodeCounters(encoded)
		if err != nil {
			return 0, err
		}
		for n, count := range counters {
			if l.n = n; count > 0 {
				into[l] = count
			}
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return epochs, db.SQL.QueryRowContext(ctx, `SELECT count(*) FROM tidings_relay_epoch`).Scan(&epochs)
}

// effects compares the auditor's rows with what was numbered.
func effects(ctx context.Context, db *connect.Database, committed map[lane]uint64, c *Counts) error {
	rows, err := db.SQL.QueryContext(ctx, `SELECT message_id, source, epoch, channel, lane, sequence FROM soak_effect ORDER BY position`)
	if err != nil {
		return err
	}
	defer rows.Close()
	seen := map[string]bool{}
	last, count := map[lane]uint64{}, map[lane]uint64{}
	for rows.Next() {
		var id string
		var l lane
		var sequence uint64
		if err := rows.Scan(&id, &l.source, &l.epoch, &l.channel, &l.n, &sequence); err != nil {
			return err
		}
		c.Handled++
		if seen[id] {
			c.Twice++
			continue
		}
		seen[id] = true
		if sequence <= last[l] {
			c.OutOfOrder++
		}
		last[l] = max(last[l], sequence)
		count[l]++
	}
	for l, n := range committed {
		c.Committed += n
		if count[l] < n {
			c.Lost += n - count[l]
		}
	}
	return rows.Err()
}

// inboxes checks that a subscriber has handled every number of the lanes that it
// follows, and counts what it has parked.
func inboxes(ctx context.Context, db *connect.Database, committed map[lane]uint64, c *Counts) error {
	rows, err := db.SQL.QueryContext(ctx, `SELECT subscriber, source, epoch, channel, lane, last, holes FROM tidings_inbox_lane`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var l lane
		var subscriber string
		var last uint64
		var encoded []byte
		if err := rows.Scan(&subscriber, &l.source, &l.epoch, &l.channel, &l.n, &last, &encoded); err != nil {
			return err
		}
		holes, err := inbox.DecodeHoles(encoded)
		if err != nil {
			return err
		}
		missing := committed[l] - min(last, committed[l])
		for _, h := range holes {
			missing += h.Last - h.First + 1
		}
		if missing > 0 {
			c.Lost += missing
			return fmt.Errorf("subscriber %s: %d messages of lane %v were not handled", subscriber, missing, l)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var parked int
	if err := db.SQL.QueryRowContext(ctx, `SELECT count(*) FROM tidings_inbox_parked`).Scan(&parked); err != nil {
		return err
	}
	c.Parked += parked
	return nil
}

// quiet returns nil once nothing waits in a database's outbox.
func quiet(ctx context.Context, db *connect.Database) error {
	backlog, err := db.Admin.Backlog(ctx)
	if err != nil {
		return err
	}
	if left := backlog.Rows + backlog.SetAside; left > 0 {
		return fmt.Errorf("%d messages are in an outbox", left)
	}
	return nil
}

// An order and a customer, as the sample system answers.
type order struct {
	OrderID, CustomerID, OrderState string
	OrderTotal                      amount
}

type customer struct {
	CustomerID                   string
	CreditLimit, AvailableCredit amount
}

// pages fetches all pages of a list.
func pages[T any](ctx context.Context, client *http.Client, base, path, field string) ([]T, error) {
	var all []T
	for next := path + "?limit=1000"; next != ""; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+next, nil)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("GET %s: %s: %.300s", next, response.Status, body)
		}
		var page map[string]json.RawMessage
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("GET %s: %w", next, err)
		}
		var items []T
		if err := json.Unmarshal(page[field], &items); err != nil {
			return nil, fmt.Errorf("GET %s: %w", next, err)
		}
		all = append(all, items...)
		next = ""
		if raw, ok := page["next"]; ok {
			if err := json.Unmarshal(raw, &next); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// business checks the sample's own invariant: every order is settled, and each
// customer's reserved credit is the sum of its approved orders, within the
// limit.
func (l *load) business(ctx context.Context, c *Counts) error {
	orders, err := pages[order](ctx, l.client, l.base, "/orders", "orders")
	if err != nil {
		return err
	}
	customers, err := pages[customer](ctx, l.client, l.base, "/customers", "customers")
	if err != nil {
		return err
	}
	c.Orders, c.Approved, c.Cancelled = len(orders), 0, 0
	approved := map[string]*big.Rat{}
	for _, o := range orders {
		switch o.OrderState {
		case "APPROVED":
			c.Approved++
			if approved[o.CustomerID] == nil {
				approved[o.CustomerID] = new(big.Rat)
			}
			approved[o.CustomerID].Add(approved[o.CustomerID], o.OrderTotal.exact())
		case "CANCELLED":
			c.Cancelled++
		default:
			return fmt.Errorf("order %s is %s", o.OrderID, o.OrderState)
		}
	}
	for _, who := range customers {
		reserved := new(big.Rat).Sub(who.CreditLimit.exact(), who.AvailableCredit.exact())
		want := approved[who.CustomerID]
		if want == nil {
			want = new(big.Rat)
		}
		if reserved.Cmp(want) != 0 || who.AvailableCredit.exact().Sign() < 0 {
			return fmt.Errorf("customer %s: %s of credit is reserved, approved orders are worth %s, the limit is %s",
				who.CustomerID, reserved.FloatString(2), want.FloatString(2), who.CreditLimit.Amount)
		}
	}
	if len(orders) < l.accepted {
		return fmt.Errorf("%d orders were accepted, only %d are there", l.accepted, len(orders))
	}
	return nil
}

func (a amount) exact() *big.Rat {
	r, ok := new(big.Rat).SetString(a.Amount.String())
	if !ok {
		return new(big.Rat)
	}
	return r
}
