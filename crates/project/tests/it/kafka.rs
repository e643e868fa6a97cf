//! Kafka in a project: the log, the cluster of the sources, and the sources.

use expect_test::{Expect, expect};
use flowline_model::{KafkaStart, Origin, SaslMechanism};
use flowline_project::load;

use crate::support::{ORDERS, PROJECT, check, project};

const TOPIC: &str = "owner: team-shop\nzone: raw\nfrom: { source: kafka, topic: orders }\ncolumns: [{ name: id, type: string }]\n";

fn flowline(environment: &str) -> String {
    format!("{PROJECT}environments:\n  dev:\n{environment}")
}

fn check_kafka(environment: &str, dataset: &str, expected: Expect) {
    check(&[("flowline.yaml", &flowline(environment)), ("datasets/shop/orders.yaml", dataset)], expected);
}

#[test]
fn the_log_may_be_kept_in_kafka() {
    let environment = "    log:
      kafka:
        brokers: [\"a:9092, b:9092\", \"${BROKER_OF_NO_ONE:-c:9092}\"]
        topic_prefix: flowline.shop.
        replication: 3
        tls: { ca_file: ca.pem }
        sasl: { mechanism: scram-sha-512, user: shop, password: \"${PASSWORD_OF_NO_ONE:-geheim}\" }
";
    let dir = project(&[("flowline.yaml", &flowline(environment)), ("datasets/shop/orders.yaml", TOPIC)]);
    let plan = load(dir.path(), None).unwrap().plan;
    let environment = plan.environment;
    let log = environment.log.kafka.as_ref().unwrap();
    assert_eq!(log.cluster.brokers, ["a:9092", "b:9092", "c:9092"]);
    assert_eq!((log.topic_prefix.as_str(), log.replication), ("flowline.shop.", Some(3)));
    let tls = log.cluster.tls.as_ref().unwrap();
    assert_eq!(tls.ca_file, Some(dir.path().canonicalize().unwrap().join("ca.pem")));
    let sasl = log.cluster.sasl.as_ref().unwrap();
    assert_eq!((sasl.mechanism, sasl.password.expose()), (SaslMechanism::ScramSha512, "geheim"));
    assert!(!format!("{environment:?}").contains("geheim"), "a password is not shown");
    assert_eq!(environment.kafka_of_sources(), Some(&log.cluster), "sources read where the log is");
    let Origin::Kafka(origin) = &plan.datasets[0].origin else { panic!("{:?}", plan.datasets[0]) };
    assert_eq!((origin.topic.as_str(), origin.group.as_str()), ("orders", "flowline.shop.orders"));
    assert_eq!(origin.start, KafkaStart::Earliest);
}

#[test]
fn what_cannot_be_a_cluster_is_told() {
    check_kafka(
        "    log:
      kafka:
        brokers: [kafka]
        topic_prefix: \"a b\"
        sasl: { mechanism: plain, user: shop, password: geheim }
",
        ORDERS,
        expect![[r#"
            error[invalid-value]: `kafka` is not the address of a broker
             --> flowline.yaml:7:19
              |
            7 |         brokers: [kafka]
              |                   ^^^^^
              |
              = help: write a host and a port, `kafka-1.example.org:9092`, or several with commas between them

            error[invalid-value]: `a b` is not the beginning of names of topics
             --> flowline.yaml:8:23
              |
            8 |         topic_prefix: "a b"
              |                       ^^^^^
              |
              = help: write letters, digits, `.`, `_` and `-`, at most 122 of them: `flowline.shop.`

            2 errors
        "#]],
    );
    check_kafka(
        "    kafka: { brokers: [] }\n",
        ORDERS,
        expect![[r#"
        error[missing-key]: `brokers` names no broker
         --> flowline.yaml:5:23
          |
        5 |     kafka: { brokers: [] }
          |                       ^^^
          |
          = help: name at least one: `["host:9092"]`

        1 error
    "#]],
    );
}

#[test]
fn a_password_stands_in_no_file() {
    let sasl = "sasl: { mechanism: plain, user: shop, password: geheim }";
    check_kafka(
        &format!("    kafka: {{ brokers: [\"a:1\"], {sasl} }}\n"),
        ORDERS,
        expect![[r#"
            warning[conflict]: `plain` sends the password as it is, and nothing encrypts it
             --> flowline.yaml:5:51
              |
            5 |     kafka: { brokers: ["a:1"], sasl: { mechanism: plain, user: shop, password: geheim } }
              |                                                   ^^^^^
              |
              = help: add `tls: {}`, or use `scram-sha-512`

            error[invalid-value]: the password stands in the file
             --> flowline.yaml:5:80
              |
            5 |     kafka: { brokers: ["a:1"], sasl: { mechanism: plain, user: shop, password: geheim } }
              |                                                                                ^^^^^^
              |
              = help: take it from an environment variable: `password: "${KAFKA_PASSWORD}"`

            1 error, 1 warning
        "#]],
    );
}

#[test]
fn a_topic_needs_a_cluster_and_secrets_stand_elsewhere() {
    check_kafka(
        "    data_dir: here\n",
        TOPIC,
        expect![[r#"
        error[missing-key]: the environment names no Kafka cluster to read from
         --> datasets/shop/orders.yaml:3:17
          |
        3 | from: { source: kafka, topic: orders }
          |                 ^^^^^
          |
          = help: declare `kafka: { brokers: ["host:9092"] }` under the environment in flowline.yaml

        1 error
    "#]],
    );
    let registry =
        TOPIC.replace("topic: orders", "topic: orders, format: avro, registry: \"http://me:geheim@r\"");
    check_kafka(
        "    kafka: { brokers: [\"a:1\"] }\n",
        &registry,
        expect![[r#"
            error[invalid-value]: the password stands in the file
             --> datasets/shop/orders.yaml:3:63
              |
            3 | from: { source: kafka, topic: orders, format: avro, registry: "http://me:geheim@r" }
              |                                                               ^^^^^^^^^^^^^^^^^^^^^
              |
              = help: take it from an environment variable: `https://user:${REGISTRY_PASSWORD}@host`

            1 error
        "#]],
    );
    let sql = format!("{TOPIC}materialize: full\n").replace("topic: orders", "topic: \"a/b\"");
    check_kafka(
        "    kafka: { brokers: [\"a:1\"] }\n",
        &sql,
        expect![[r#"
        error[invalid-value]: `a/b` is not the name of a topic
         --> datasets/shop/orders.yaml:3:31
          |
        3 | from: { source: kafka, topic: "a/b" }
          |                               ^^^^^^
          |
          = help: write letters, digits, `.`, `_` and `-`, at most 249 of them

        1 error
    "#]],
    );
}
