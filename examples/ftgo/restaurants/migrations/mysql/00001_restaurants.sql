-- +goose Up
CREATE TABLE IF NOT EXISTS restaurants (
    restaurant_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    name          varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    address       mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL -- JSON
) ENGINE = InnoDB;

-- Position keeps the menu in the order in which it was given.
CREATE TABLE IF NOT EXISTS menu_items (
    restaurant_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    menu_item_id  varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    position      int NOT NULL,
    name          varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    price_cents   bigint NOT NULL CHECK (price_cents > 0),
    PRIMARY KEY (restaurant_id, menu_item_id),
    FOREIGN KEY (restaurant_id) REFERENCES restaurants (restaurant_id)
) ENGINE = InnoDB;
