-- +goose Up
CREATE TABLE IF NOT EXISTS history_customers (
    customer_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    name        varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    limit_cents bigint NOT NULL
) ENGINE = InnoDB;

-- progress is the place of the state in an order's life; it never goes down.
CREATE TABLE IF NOT EXISTS history_orders (
    order_id    varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    customer_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    total_cents bigint      NOT NULL,
    state       varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reason      varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    progress    smallint    NOT NULL,
    INDEX history_orders_of_customer (customer_id, order_id)
) ENGINE = InnoDB;
