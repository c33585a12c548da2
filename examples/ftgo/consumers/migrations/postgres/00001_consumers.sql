-- +goose Up
CREATE TABLE IF NOT EXISTS consumers (
    consumer_id text COLLATE "C" NOT NULL PRIMARY KEY,
    first_name  text   NOT NULL,
    last_name   text   NOT NULL,
    limit_cents bigint NOT NULL CHECK (limit_cents > 0)
);
