create table payments.exchange_rate_sets (
    set_id uuid primary key,
    provider text not null,
    base text not null,
    published_on date not null,
    published_at_ms bigint not null,
    fetched_at_ms bigint not null
);
comment on table payments.exchange_rate_sets is 'Reference rates as their provider published them, once for each content. Never updated, never deleted.';
create index exchange_rate_sets_newest on payments.exchange_rate_sets (published_at_ms desc, fetched_at_ms desc);

create table payments.exchange_rates (
    set_id uuid not null references payments.exchange_rate_sets (set_id),
    currency text not null,
    value numeric(20, 0) not null check (value > 0),
    scale smallint not null check (scale between 0 and 12),
    primary key (set_id, currency)
);
comment on table payments.exchange_rates is 'value / 10^scale of a currency are worth one of the set''s base.';
create trigger append_only before update or delete or truncate on payments.exchange_rate_sets
    for each statement execute function payments.refuse_change();
create trigger append_only before update or delete or truncate on payments.exchange_rates
    for each statement execute function payments.refuse_change();

create table payments.reporting_rates (
    payment_id uuid primary key references payments.payments (payment_id),
    created_at_ms bigint not null,
    reporting_currency text not null,
    set_id uuid references payments.exchange_rate_sets (set_id),
    numerator numeric(60, 0) check (numerator > 0),
    denominator numeric(60, 0) check (denominator > 0),
    reporting_minor numeric(38, 0),
    check ((numerator is null) = (denominator is null) and (numerator is null) = (reporting_minor is null))
);
comment on table payments.reporting_rates is 'What a payment was worth in the reporting currency when it began: numerator / denominator of it for one of the payment''s currency; null where no rate was in force. Never updated, never deleted.';
create index reporting_rates_newest on payments.reporting_rates (created_at_ms desc);
create trigger append_only before update or delete or truncate on payments.reporting_rates
    for each statement execute function payments.refuse_change();

create table payments.conversion_quotes (
    quote_id uuid primary key,
    user_id uuid not null,
    source_currency text not null,
    source_minor numeric(38, 0) not null check (source_minor > 0),
    fee_minor numeric(38, 0) not null check (fee_minor >= 0),
    target_currency text not null check (target_currency <> source_currency),
    target_minor numeric(38, 0) not null check (target_minor > 0),
    set_id uuid not null references payments.exchange_rate_sets (set_id),
    numerator numeric(60, 0) not null check (numerator > 0),
    denominator numeric(60, 0) not null check (denominator > 0),
    reporting_minor numeric(38, 0) not null,
    policy_version integer not null,
    made_at_ms bigint not null,
    expires_at_ms bigint not null
);
comment on table payments.conversion_quotes is 'What was offered to users for a moment; forgotten a day later.';
create index conversion_quotes_expiry on payments.conversion_quotes (expires_at_ms);
create index conversion_quotes_user on payments.conversion_quotes (user_id);

create table payments.conversions (
    conversion_id uuid primary key,
    quote_id uuid not null unique,
    user_id uuid not null,
    source_currency text not null,
    source_minor numeric(38, 0) not null,
    fee_minor numeric(38, 0) not null,
    target_currency text not null,
    target_minor numeric(38, 0) not null,
    set_id uuid not null references payments.exchange_rate_sets (set_id),
    numerator numeric(60, 0) not null,
    denominator numeric(60, 0) not null,
    reporting_minor numeric(38, 0) not null,
    policy_version integer not null,
    at_ms bigint not null
);
comment on table payments.conversions is 'Money that users turned into another currency. Never updated, never deleted.';
create index conversions_user on payments.conversions (user_id, at_ms desc, conversion_id desc);
create trigger append_only before update or delete or truncate on payments.conversions
    for each statement execute function payments.refuse_change();

create index payments_returned on payments.payments (payer_id) where returned_minor > 0;
create index payments_currency on payments.payments (currency, created_at_ms desc, payment_id desc);
create index payments_gateway on payments.payments (gateway, created_at_ms desc, payment_id desc);
create index payments_purpose on payments.payments (purpose, created_at_ms desc, payment_id desc);
create index payments_subject on payments.payments (subject, created_at_ms desc, payment_id desc) where subject <> '';
create index charges_ref on payments.charges (ref);
