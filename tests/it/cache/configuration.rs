//! What the directives refuse, in nginx's words.

use super::*;

#[track_caller]
fn refuses_path(arguments: &str, message: &str) {
    let prefix = Prefix::new();
    prefix.write("nginx.conf", config(&format!("proxy_cache_path c {arguments};\nserver {{ listen 127.0.0.1:1; }}")));
    let run = prefix.run(&["-t"]);
    assert!(!run.status.success() && run.stderr.contains(&format!("{message} in ")), "{arguments}: {}", run.stderr);
}

#[test]
fn paths() {
    for (arguments, message) in [
        ("keys_zone=a:1m levels=3", "invalid \"levels\" \"levels=3\""),
        ("keys_zone=a:1m levels=1:2:", "invalid \"levels\" \"levels=1:2:\""),
        ("keys_zone=a:1m foo=1", "invalid parameter \"foo=1\""),
        ("keys_zone=a:1m purger=on", "invalid parameter \"purger=on\""),
        ("keys_zone=a:1m max_size=x", "invalid max_size value \"max_size=x\""),
        ("keys_zone=a:1m min_free=x", "invalid min_free value \"min_free=x\""),
        ("keys_zone=a:1m inactive=x", "invalid inactive value \"inactive=x\""),
        ("keys_zone=a:1m loader_files=x", "invalid loader_files value \"loader_files=x\""),
        ("keys_zone=a:1m loader_sleep=x", "invalid loader_sleep value \"loader_sleep=x\""),
        ("keys_zone=a:1m loader_threshold=x", "invalid loader_threshold value \"loader_threshold=x\""),
        ("keys_zone=a:1m manager_files=x", "invalid manager_files value \"manager_files=x\""),
        ("keys_zone=a:1m manager_sleep=x", "invalid manager_sleep value \"manager_sleep=x\""),
        ("keys_zone=a:1m manager_threshold=x", "invalid manager_threshold value \"manager_threshold=x\""),
        (
            "keys_zone=a:1m use_temp_path=x",
            "invalid use_temp_path value \"use_temp_path=x\", it must be \"on\" or \"off\"",
        ),
        ("keys_zone=a", "invalid keys zone size \"keys_zone=a\""),
        ("keys_zone=a:x", "invalid keys zone size \"keys_zone=a:x\""),
        ("keys_zone=a:1k", "keys zone \"keys_zone=a:1k\" is too small"),
        ("levels=1", "\"proxy_cache_path\" must have \"keys_zone\" parameter"),
        ("keys_zone=a:1m; proxy_cache_path d keys_zone=a:1m", "duplicate zone \"a\""),
        (
            "keys_zone=a:1m; proxy_cache_path d keys_zone=a:2m",
            "the size 2097152 of shared memory zone \"a\" conflicts with already declared size 1048576",
        ),
    ] {
        refuses_path(arguments, message);
    }
}

#[test]
fn locations() {
    for (text, message) in [
        ("proxy_cache b;", "\"proxy_cache\" zone \"b\" is unknown"),
        ("proxy_cache a; proxy_store on;", "\"proxy_store\" directive is incompatible with \"proxy_cache\""),
        ("proxy_store on; proxy_cache a;", "\"proxy_cache\" directive is incompatible with \"proxy_store\""),
        ("proxy_cache a; proxy_cache off;", "\"proxy_cache\" directive is duplicate"),
        ("proxy_cache_valid x;", "invalid time value \"x\""),
        ("proxy_cache_valid 99 1m;", "invalid status \"99\""),
        ("proxy_cache_methods PUT;", "invalid value \"PUT\""),
        ("proxy_cache_use_stale foo;", "invalid value \"foo\""),
        ("proxy_cache_min_uses x;", "\"proxy_cache_min_uses\" directive invalid number"),
        ("proxy_cache_lock x;", "invalid value \"x\" in \"proxy_cache_lock\" directive, it must be \"on\" or \"off\""),
        ("proxy_cache_lock_timeout x;", "\"proxy_cache_lock_timeout\" directive invalid value"),
        ("proxy_cache_lock_age x;", "\"proxy_cache_lock_age\" directive invalid value"),
        ("proxy_cache_max_range_offset x;", "\"proxy_cache_max_range_offset\" directive invalid value"),
        ("proxy_cache_key a; proxy_cache_key b;", "\"proxy_cache_key\" directive is duplicate"),
        ("proxy_cache_purge $a allow=x;", "invalid parameter \"allow=x\""),
        ("proxy_store_access user:x;", "invalid value \"user:x\""),
        ("proxy_store_access foo;", "invalid value \"foo\""),
    ] {
        crate::proxy::refuses(text, message);
    }
}

#[test]
fn what_is_accepted() {
    let prefix = Prefix::new();
    let http = "
        proxy_cache_path /data/no/such levels=1:2:2 use_temp_path=off keys_zone=a:16k inactive=1d max_size=1g min_free=1k manager_files=1
            manager_sleep=1ms manager_threshold=1s loader_files=1 loader_sleep=1ms loader_threshold=1s;
        proxy_cache_path relative/ keys_zone=b:1m;
        proxy_cache a;
        proxy_cache_key $scheme$host$request_uri;
        proxy_cache_valid 1m;
        proxy_cache_valid 404 410 1m;
        proxy_cache_valid any 0;
        proxy_cache_methods GET HEAD POST;
        proxy_cache_min_uses 2;
        proxy_cache_bypass $arg_a $arg_b;
        proxy_no_cache $arg_a;
        proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503 http_504 http_403 http_404 http_429;
        proxy_cache_background_update on;
        proxy_cache_revalidate on;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 1s;
        proxy_cache_lock_age 1s;
        proxy_cache_convert_head off;
        proxy_cache_max_range_offset 1m;
        proxy_cache_purge $arg_purge allow=127.0.0.1 allow=10.0.0.0/8 allow=unix:;
        server {
            listen ADDRESS;
            location / { proxy_pass http://127.0.0.1:1; proxy_cache $arg_zone; }
            location /off { proxy_pass http://127.0.0.1:1; proxy_cache off; proxy_cache_use_stale off; }
            location /store { proxy_pass http://127.0.0.1:1; proxy_store on; proxy_store_access group:rw all:r; }
            location /named { proxy_pass http://127.0.0.1:1; proxy_store /data$uri; }
        }";
    let port = Port::reserve();
    prefix.write("nginx.conf", config(&http.replace("ADDRESS", &port.v4())));
    let run = prefix.run(&["-t"]);
    assert!(run.status.success(), "{}", run.stderr);
}

#[test]
fn without_a_manager() {
    let (prefix, port) = (Prefix::new(), Port::reserve());
    let server = format!("server {{ listen {}; }}", port.v4());
    let text = config(&format!("proxy_cache_path c keys_zone=a:1m; {server}"));
    let warning = "with \"master_process off\" there is no cache manager: no cache is kept within its \"max_size\"";
    for (main, warns) in [("master_process off;", true), ("master_process on;", false)] {
        prefix.write("nginx.conf", format!("{main}\n{text}"));
        let run = prefix.run(&["-t"]);
        assert!(run.status.success() && run.stderr.contains(warning) == warns, "{main}: {}", run.stderr);
    }
}
