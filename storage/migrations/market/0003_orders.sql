create table market.books (
    issue_id uuid primary key,
    max_price integer not null check (max_price > 0),
    capacity integer not null check (capacity > 0),
    phase text not null check (phase in ('closed', 'auction', 'continuous', 'halted')),
    until_ms bigint not null default 0,
    depth_number bigint not null default 0,
    number bigint not null default 0,
    chain bytea not null check (octet_length(chain) = 32),
    last_minor bigint,
    last_at_ms bigint,
    opened_at_ms bigint not null
);
comment on table market.books is 'Read model, written with the facts by the issues'' owners.';
comment on column market.books.number is 'Of the last entry of the book''s journal; chain: its hash.';
create index books_newest on market.books (opened_at_ms desc, issue_id desc);

create table market.book_entries (
    issue_id uuid not null,
    number bigint not null check (number > 0),
    at_ms bigint not null,
    entry text not null,
    chain bytea not null check (octet_length(chain) = 32),
    primary key (issue_id, number)
);
comment on table market.book_entries is
    'What each book was told and what it answered, as JSON; chain: BLAKE2b-256 of the chain before, and the entry.';

create table market.orders (
    issue_id uuid not null,
    order_id bigint not null check (order_id > 0),
    user_id uuid not null,
    side text not null check (side in ('buy', 'sell')),
    status text not null check (status in ('waiting', 'open', 'filled', 'cancelled')),
    reason text not null,
    shares integer not null check (shares >= 0),
    filled integer not null check (filled between 0 and shares),
    remaining integer not null check (remaining between 0 and shares - filled),
    limit_minor bigint not null check (limit_minor > 0),
    stop_minor bigint not null,
    display integer not null,
    expires_at_ms bigint not null,
    paid_minor bigint not null check (paid_minor >= 0),
    fee_minor bigint not null check (fee_minor >= 0),
    held_minor bigint not null check (held_minor >= 0),
    placed_at_ms bigint not null,
    changed_at_ms bigint not null,
    primary key (issue_id, order_id)
) with (fillfactor = 80);
comment on table market.orders is 'Every order as the last fact left it.';
create index orders_newest on market.orders (user_id, placed_at_ms desc, issue_id desc, order_id desc);
create index orders_open on market.orders (user_id, issue_id) where status in ('waiting', 'open');

create table market.trades (
    issue_id uuid not null,
    trade_id bigint not null check (trade_id > 0),
    price_minor bigint not null check (price_minor > 0),
    shares integer not null check (shares > 0),
    side text not null check (side in ('buy', 'sell')),
    order_id bigint not null,
    maker_order_id bigint not null,
    at_ms bigint not null,
    primary key (issue_id, trade_id)
);
comment on column market.trades.order_id is 'Of the taker; of the buyer in an auction.';
