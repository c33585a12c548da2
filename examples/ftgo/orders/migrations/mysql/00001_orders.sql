-- +goose Up
-- An order is PENDING without a reason, VALIDATED with a total, or REJECTED with a reason.
CREATE TABLE IF NOT EXISTS orders (
    order_id      varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    consumer_id   varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    restaurant_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    line_items    mediumtext CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- JSON
    state         varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    total_cents   bigint,
    reason        varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    idempotency_key varchar(64) CHARACTER SET ascii COLLATE ascii_bin UNIQUE, -- of the request, if it had one
    CHECK (state IN ('PENDING', 'VALIDATED', 'REJECTED') AND (state = 'REJECTED') = (reason <> '')),
    CHECK (state <> 'VALIDATED' OR total_cents IS NOT NULL)
) ENGINE = InnoDB;
