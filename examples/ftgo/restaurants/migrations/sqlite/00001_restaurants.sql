-- +goose Up
CREATE TABLE IF NOT EXISTS restaurants (
    restaurant_id TEXT NOT NULL PRIMARY KEY,
    name          TEXT NOT NULL,
    address       TEXT NOT NULL -- JSON
) WITHOUT ROWID;

-- Position keeps the menu in the order in which it was given.
CREATE TABLE IF NOT EXISTS menu_items (
    restaurant_id TEXT    NOT NULL REFERENCES restaurants (restaurant_id),
    menu_item_id  TEXT    NOT NULL,
    position      INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    price_cents   INTEGER NOT NULL CHECK (price_cents > 0),
    PRIMARY KEY (restaurant_id, menu_item_id)
) WITHOUT ROWID;
