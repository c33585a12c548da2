-- +goose Up
CREATE TABLE IF NOT EXISTS history_customers (
    customer_id text COLLATE "C" NOT NULL PRIMARY KEY,
    name        text   NOT NULL,
    limit_cents bigint NOT NULL
);

-- progress is the place of the state in an order's life; it never goes down.
CREATE TABLE IF NOT EXISTS history_orders (
    order_id    text COLLATE "C" NOT NULL PRIMARY KEY,
    customer_id text COLLATE "C" NOT NULL,
    total_cents bigint   NOT NULL,
    state       text     NOT NULL,
    reason      text     NOT NULL,
    progress    smallint NOT NULL
);

CREATE INDEX IF NOT EXISTS history_orders_of_customer ON history_orders (customer_id, order_id);
