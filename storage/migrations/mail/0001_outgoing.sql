create table mail.outgoing (
    mail_id uuid primary key default gen_random_uuid(),
    recipient text not null,
    recipient_key text not null,
    user_id uuid,
    template text not null,
    locale text not null,
    params jsonb not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'given_up')),
    attempts integer not null default 0 check (attempts >= 0),
    queued_at_ms bigint not null,
    due_at_ms bigint not null,
    expires_at_ms bigint not null,
    done_at_ms bigint,
    last_error text not null default '',
    check ((state = 'waiting') = (done_at_ms is null))
);
comment on table mail.outgoing is 'Letters to send, written in the transaction of what asks for them. Sent at least once.';
comment on column mail.outgoing.recipient_key is 'The address in lower case, by which letters to one address are counted.';
comment on column mail.outgoing.user_id is 'Whose account the letter is about; null where there is none yet.';
comment on column mail.outgoing.params is 'The values of the text, tokens among them. Emptied once the letter is done.';
comment on column mail.outgoing.due_at_ms is 'When the next attempt may begin. During an attempt: when it counts as lost.';
comment on column mail.outgoing.expires_at_ms is 'Not sent after this moment.';
create index outgoing_due on mail.outgoing (due_at_ms) where state = 'waiting';
create index outgoing_done on mail.outgoing (done_at_ms) where state <> 'waiting';
create index outgoing_recipient on mail.outgoing (recipient_key, queued_at_ms);
create index outgoing_user on mail.outgoing (user_id) where user_id is not null;
