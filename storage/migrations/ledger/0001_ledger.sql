-- The double-entry ledger. What the database itself keeps true, whatever the program does:
--   transactions and postings are only ever added, a transaction whole in one statement;
--   a transaction's postings sum to zero per currency;
--   an account's balance is the sum of its postings, and only posting changes it;
--   no account but those of the outside world is below zero.
-- The checks are set-based: once a statement over its new rows, not once a row. They stand in for
-- foreign keys as well, which cost a look-up a row (docs/decisions/0002-ledger.md has the figures).

create table ledger.accounts (
    id bigint generated always as identity primary key,
    code text collate "C" not null unique,
    currency text collate "C" not null,
    may_be_negative boolean not null,
    -- 38 digits: a million ETH in wei has 25, bigint holds 19.
    balance numeric(38, 0) not null default 0,
    -- Both follow from the code, so that no account can be opened with the wrong rights. (As stored
    -- generated columns they nearly doubled the cost of changing a balance.)
    constraint accounts_derived check (
        currency = split_part(code, '/', 2) and may_be_negative = starts_with(code, 'outside:')
    ),
    constraint accounts_not_negative check (may_be_negative or balance >= 0)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

create table ledger.transactions (
    -- Drawn while all of the transaction's accounts are locked, so that an account's postings carry
    -- rising ids in the order in which they took effect.
    id bigint primary key,
    key bytea not null unique,
    cause text not null,
    purpose text not null,
    lines smallint not null,
    at_ms bigint not null,
    constraint transactions_key check (octet_length(key) = 16),
    constraint transactions_lines check (lines >= 2)
);
create sequence ledger.transaction_ids owned by ledger.transactions.id;

create table ledger.postings (
    transaction_id bigint not null,
    line smallint not null,
    account_id bigint not null,
    amount numeric(38, 0) not null,
    primary key (transaction_id, line),
    constraint postings_amount check (amount <> 0)
);
create index postings_statement on ledger.postings (account_id, transaction_id, line)
    include (amount);

create function ledger.refuse() returns trigger language plpgsql as $$
begin
    raise exception 'ledger.% refuses %', tg_table_name, tg_op using errcode = '23514', hint = tg_argv[0];
end $$;

create trigger append_only before update or delete or truncate on ledger.transactions
    for each statement execute function ledger.refuse('The ledger is append-only: post a reversal.');
create trigger append_only before update or delete or truncate on ledger.postings
    for each statement execute function ledger.refuse('The ledger is append-only: post a reversal.');
create trigger kept before delete or truncate on ledger.accounts
    for each statement execute function ledger.refuse('Accounts stay.');
create trigger opened_empty before insert on ledger.accounts
    for each row when (new.balance <> 0)
    execute function ledger.refuse('An account opens empty: post to it.');
-- Depth 0 is a statement of a client; inside the trigger that books postings it is 1.
create trigger booked_only before update on ledger.accounts
    for each statement when (pg_trigger_depth() = 0)
    execute function ledger.refuse('A balance follows its postings: post to it.');

-- Seqscans are off in the two functions below because their plans are kept for the life of a
-- connection: one made while the tables were small would scan them when they have grown.
create function ledger.book() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    wrong record;
begin
    select f.transaction_id, a.currency, sum(f.amount) as amount into wrong
    from fresh f left join ledger.accounts a on a.id = f.account_id
    group by f.transaction_id, a.currency
    having sum(f.amount) <> 0 or a.currency is null
    limit 1;
    if found then
        raise exception 'transaction %: postings sum to % %', wrong.transaction_id, wrong.amount,
            coalesce(wrong.currency, '(no such account)') using errcode = '23514';
    end if;
    update ledger.accounts a set balance = a.balance + d.amount
    from (select account_id, sum(amount) as amount from fresh group by account_id) d
    where a.id = d.account_id;
    return null;
end $$;
create trigger book after insert on ledger.postings
    referencing new table as fresh for each statement execute function ledger.book();
