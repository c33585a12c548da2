package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tidings.example/internal/connect"
)

// PathSystem is the sample system as Path needs it.
type PathSystem struct {
	// Base is the gateway's URL.
	Base string
	// Orders is the database of the orders service.
	Orders *connect.Database
	// Broker is its kind.
	Broker string
}

// Path measures orders a second through the whole sample system: over HTTP into
// the orders service, by message to customers, by message back, and on to the
// history. An order counts as settled when it is no longer PENDING. The floor
// is an insert of one row in a transaction of its own, by as many at a time.
func Path(ctx context.Context, o Options, s PathSystem) (r *Report, err error) {
	if err := makeTable(ctx, s.Orders); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dropTable(context.WithoutCancel(ctx), s.Orders)) }()
	r = newReport("path", s.Orders.Kind, s.Broker, "%d orders of %d customers, %d requests at a time", o.Rows, o.Keys, o.Workers)

	o.progress("inserting %d rows without a system", o.Rows)
	started := time.Now()
	if err := o.transactions(ctx, o.Rows, o.Workers, func(i int) error {
		return inTx(ctx, s.Orders.SQL, func(tx *sql.Tx) error { return insertOne(ctx, s.Orders, tx, i) })
	}); err != nil {
		return nil, err
	}
	r.add("bare transactions", perSecond(o.Rows, time.Since(started)), "tx/s")

	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: o.Workers}}
	customers := make([]string, o.Keys)
	if err := o.transactions(ctx, o.Keys, o.Workers, func(i int) error {
		return post(ctx, client, s.Base+"/customers", map[string]any{"name": "Ada", "creditLimit": map[string]any{"amount": 1_000_000}},
			"customerId", &customers[i-1])
	}); err != nil {
		return nil, err
	}
	o.progress("sending %d orders", o.Rows)
	started = time.Now()
	if err := o.transactions(ctx, o.Rows, o.Workers, func(i int) error {
		var id string
		return post(ctx, client, s.Base+"/orders", map[string]any{"customerId": customers[i%len(customers)], "orderTotal": map[string]any{"amount": 1}},
			"orderId", &id)
	}); err != nil {
		return nil, err
	}
	r.against("orders accepted", perSecond(o.Rows, time.Since(started)), "orders/s", "bare transactions")
	if err := settled(ctx, s.Orders); err != nil {
		return nil, err
	}
	r.against("orders settled", perSecond(o.Rows, time.Since(started)), "orders/s", "bare transactions")
	return r, nil
}

// post sends JSON and reads one field of the answer.
func post(ctx context.Context, client *http.Client, url string, body any, field string, into *string) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("POST %s: %s: %.300s", url, response.Status, answer)
	}
	var fields map[string]string
	if err := json.Unmarshal(answer, &fields); err != nil {
		return err
	}
	*into = fields[field]
	return nil
}

// settled waits until no order is pending.
func settled(ctx context.Context, db *connect.Database) error {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		var pending int
		err := db.SQL.QueryRowContext(ctx, "SELECT count(*) FROM orders WHERE state = 'PENDING'").Scan(&pending)
		if err != nil || pending == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d orders are still pending after 5 minutes", pending)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
