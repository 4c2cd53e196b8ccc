//! What a configuration makes in the place of what is there without it, held against nginx.

use super::http_script::Both;

/// Variables that stand for arguments, fields and cookies of any name may be made, and are then the configuration's own also above the
/// directive that makes them.
#[test]
fn variables_in_the_place_of_those_of_requests() {
    let both = Both::serve(
        r#"map $uri $http_x_made { default no; /b yes; }
           split_clients $uri $cookie_half { 100% all; }
           geo $arg_where { default out; 127.0.0.0/8 in; }
           server { listen {0};
             location / { return 200 "$http_x_made|$cookie_half|$arg_where|$arg_other|$http_host"; }
             location /set { if ($arg_one) { return 200 "never"; } set $arg_two 2; set $http_x_two "$arg_two$arg_other"; return 200 "$arg_two|$http_x_two|$args"; }
             location /late { set $arg_one 1; if ($arg_one) { return 200 "now"; } return 200 "never"; }
           }"#,
    );
    both.compare(&["/", "/b", "/b?where=x&other=y", "/set", "/set?one=1&two=3&other=4", "/late"]);
}

/// All `types {}` of a level count together, and those of another level for themselves.
#[test]
fn types_of_a_level() {
    let both = Both::serve(
        r#"default_type a/default; types { a/one html; } types { a/two txt; a/none; }
           server { listen {0}; root ROOT; location /in/ { alias ROOT/; types { a/three txt; } } }"#,
    );
    both.compare(&["/index.html", "/a.txt", "/x.php", "/in/index.html", "/in/a.txt"]);
}

/// What is left of a whole number of each share is lost, so that clients have the parts that they have with nginx.
#[test]
fn shares_end_where_those_of_nginx_do() {
    let parts: String = (0..97).map(|part| format!("1.01% {part}; ")).collect();
    let both = Both::serve(&format!(
        "split_clients $uri $part {{ {parts}* rest; }} server {{ listen {{0}}; return 200 $part; }}"
    ));
    let targets: Vec<String> = (0..200).map(|number| format!("/{number}")).collect();
    both.compare(&targets.iter().map(String::as_str).collect::<Vec<_>>());
}
