//! The real psql, where it is installed.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::support::Node;

/// What psql prints for a command; none where there is no psql.
async fn psql(node: &Node, command: &str) -> Option<String> {
    let port = node.postgres.port().to_string();
    let ran = Command::new("psql")
        .args([
            "-X",
            "-A",
            "-t",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "me",
            "-d",
            "shop",
            "-v",
            "ON_ERROR_STOP=1",
        ])
        .args(["-c", command])
        .env("PGPASSWORD", "")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(Duration::from_secs(60), ran).await.expect("psql answers within a minute");
    let output = match ran {
        Ok(output) => output,
        Err(_) => {
            println!("skipped: psql is not on the path");
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

#[tokio::test]
async fn its_commands_work() {
    let node = Node::start().await;
    for (command, says) in [
        ("select 1 + 1", "2"),
        ("\\dn", "shop|"),
        ("\\dt shop.*", "shop|orders|table|"),
        ("\\dv shop.*", "shop|letters|view|"),
        ("\\d", ""),
        ("\\d shop.orders", "order_id|text|"),
        ("\\d shop.letters", "letter|text|"),
        ("\\l", "shop|"),
        ("\\dT", ""),
        ("\\d+ shop.orders", "order_id|text|"),
        ("\\dt+ shop.*", "shop|orders|table|"),
        ("\\dn+", "shop|"),
        ("\\du", ""),
        ("\\df", ""),
        ("\\conninfo", "shop"),
        ("explain select * from shop.letters", "logical_plan"),
    ] {
        let Some(said) = psql(&node, command).await else { return };
        assert!(said.contains(says), "{command}: {said}");
    }
}
