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
        currency = split_part(code, '/', 2) and currency <> ''
        and may_be_negative = starts_with(code, 'outside:')
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
    constraint postings_line check (line >= 1),
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

-- Everything that posts begins here: opens the accounts that are missing and locks all of them. The
-- caller's statements see what whoever held the locks before has committed (READ COMMITTED).
--
-- Deadlock-free: rows are inserted, then locked, in the order of their codes. New rows are inserted
-- before any lock is taken, because an insert may have to wait for another's insert of the same code.
--
-- Seqscans are off in the functions below because their plans are kept for the life of a connection:
-- one made while the tables were small would still scan them when they have grown.
create function ledger.lock_for_posting(
    codes text[],  -- distinct
    keys bytea[],
    out locked_codes text[],
    out account_ids bigint[],
    out balances text[],
    out known_keys bytea[],  -- those of `keys` that were posted before
    out new_ids bigint[]  -- a transaction id for each of `keys`, rising
) language plpgsql set enable_seqscan = off as $$
begin
    if (select count(*) from ledger.accounts where code = any(codes)) < cardinality(codes) then
        insert into ledger.accounts (code, currency, may_be_negative)
        select c, split_part(c, '/', 2), starts_with(c, 'outside:')
        from unnest(codes) c order by c collate "C"
        on conflict (code) do nothing;
    end if;
    select array_agg(code), array_agg(id), array_agg(balance::text)
    into locked_codes, account_ids, balances
    from (
        select code, id, balance from ledger.accounts where code = any(codes)
        order by code for no key update
    ) locked;
    -- A key that is being posted elsewhere now is not missed: the same transaction has the same
    -- accounts, so whoever posts it has committed by the time that we hold the locks.
    select array_agg(key) into known_keys from ledger.transactions where key = any(keys);
    select array_agg(nextval('ledger.transaction_ids')) into new_ids
    from generate_series(1, cardinality(keys));
end $$;

-- Each posting of the statement belongs to a transaction of which all lines are here and sum to zero;
-- then the balances follow.
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
            coalesce(wrong.currency, 'in no account') using errcode = '23514';
    end if;
    -- As many as belong, and none above: lines 1 to n, so that none can be added later.
    select f.transaction_id, f.lines, t.lines as expected into wrong
    from (
        select transaction_id, count(*) as lines, max(line) as last
        from fresh group by transaction_id
    ) f left join ledger.transactions t on t.id = f.transaction_id
    where t.lines is distinct from f.lines or t.lines <> f.last
    limit 1;
    if found then
        raise exception 'transaction %: % postings where lines 1 to % belong',
            wrong.transaction_id, wrong.lines, coalesce(wrong.expected, 0) using errcode = '23514';
    end if;
    update ledger.accounts a set balance = a.balance + d.amount
    from (select account_id, sum(amount) as amount from fresh group by account_id) d
    where a.id = d.account_id;
    return null;
end $$;
create trigger book after insert on ledger.postings
    referencing new table as fresh for each statement execute function ledger.book();

-- And no transaction without postings (`book` counts the lines of those that have any).
create function ledger.complete() returns trigger language plpgsql set enable_seqscan = off as $$
declare
    wrong bigint;
begin
    select f.id into wrong from fresh f
    where not exists (select from ledger.postings p where p.transaction_id = f.id)
    limit 1;
    if found then
        raise exception 'transaction %: no postings', wrong using errcode = '23514';
    end if;
    return null;
end $$;
create trigger complete after insert on ledger.transactions
    referencing new table as fresh for each statement execute function ledger.complete();
