create index risk_sightings_at on payments.risk_sightings using brin (at_ms);
comment on index payments.risk_sightings_at is 'For what is past keeping: rows lie in the order of time.';
