create index differences_charge on payments.differences (gateway, charge_ref);
-- PayPal's books may have one transaction id twice, for two kinds of movement.
alter table payments.provider_entries
    drop constraint provider_entries_pkey, add primary key (gateway, ref, kind);
