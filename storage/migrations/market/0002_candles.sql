create table market.candles (
    issue_id uuid not null,
    step_ms integer not null check (step_ms > 0),
    start_ms bigint not null check (start_ms % step_ms = 0),
    open_minor bigint not null,
    high_minor bigint not null,
    low_minor bigint not null check (low_minor > 0),
    close_minor bigint not null,
    shares bigint not null check (shares > 0),
    turnover_minor numeric(38, 0) not null,
    trades bigint not null check (trades > 0),
    first_trade bigint not null,
    last_trade bigint not null,
    primary key (issue_id, step_ms, start_ms),
    check (open_minor between low_minor and high_minor),
    check (close_minor between low_minor and high_minor)
) with (fillfactor = 80);
comment on table market.candles is
    'Read model: the trades of each book by spans of time. Written with the trades, once for each.';
