-- +goose Up
CREATE TABLE IF NOT EXISTS restaurants (
    restaurant_id text COLLATE "C" NOT NULL PRIMARY KEY,
    name          text NOT NULL,
    address       text NOT NULL -- JSON
);

-- Position keeps the menu in the order in which it was given.
CREATE TABLE IF NOT EXISTS menu_items (
    restaurant_id text COLLATE "C" NOT NULL REFERENCES restaurants (restaurant_id),
    menu_item_id  text COLLATE "C" NOT NULL,
    position      integer NOT NULL,
    name          text    NOT NULL,
    price_cents   bigint  NOT NULL CHECK (price_cents > 0),
    PRIMARY KEY (restaurant_id, menu_item_id)
);
