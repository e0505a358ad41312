create index users_by_name on users.users (username_key text_pattern_ops);
create index users_by_role on users.users (role) where role in ('moderator', 'admin');
