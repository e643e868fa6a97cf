//! Who reads at the end.

use expect_test::{Expect, expect};
use flowline_model::{ConsumerKind, ConsumerRead};
use flowline_project::load;

use crate::support::{ORDERS, PROJECT, check, project};

fn check_consumer(text: &str, expected: Expect) {
    let files =
        [("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", ORDERS), ("consumers/board.yaml", text)];
    check(&files, expected);
}

#[test]
fn a_consumer_is_named_after_its_file() {
    let board = "description: What is earned.\nowner: team-shop\nkind: dashboard\nreads:\n  - { dataset: shop.orders, columns: [amount, ts] }\n";
    let files = [
        ("flowline.yaml", PROJECT),
        ("datasets/shop/orders.yaml", ORDERS),
        ("consumers/revenue-board.yaml", board),
        ("consumers/agent.yaml", "owner: team-shop\nkind: agent\nreads: [{ dataset: shop.orders }]\n"),
    ];
    let loaded = load(project(&files).path(), None).unwrap();
    let [agent, board] = loaded.plan.consumers.as_slice() else { panic!("two are declared") };
    assert_eq!(
        (agent.name.as_str(), agent.kind, &agent.reads[0].columns),
        ("agent", ConsumerKind::Agent, &Vec::new())
    );
    let orders: flowline_model::DatasetName = "shop.orders".parse().unwrap();
    let read = ConsumerRead { dataset: orders.clone(), columns: vec!["amount".into(), "ts".into()] };
    assert_eq!((board.name.as_str(), &board.reads), ("revenue-board", &vec![read]));
    assert!(
        board.reads(&orders, Some("ts"))
            && !board.reads(&orders, Some("order_id"))
            && board.reads(&orders, None)
    );
    assert!(agent.reads(&orders, Some("order_id")));
}

#[test]
fn what_is_wrong_with_a_consumer() {
    check_consumer(
        "owner: team-shpo\nkind: dashbord\nreads:\n  - { dataset: shop.order }\n  - { dataset: shop.orders, columns: [amount, tz] }\n  - { dataset: shop.orders }\nname: x\n",
        expect![[r#"
            error[unknown-name]: no team `team-shpo` is declared
             --> consumers/board.yaml:1:8
              |
            1 | owner: team-shpo
              |        ^^^^^^^^^
              |
              = help: did you mean `team-shop`?

            error[invalid-value]: `dashbord` is not possible for `kind`
             --> consumers/board.yaml:2:7
              |
            2 | kind: dashbord
              |       ^^^^^^^^
              |
              = help: did you mean `dashboard`? possible here: dashboard, api, model, agent

            error[unknown-name]: there is no dataset `shop.order`
             --> consumers/board.yaml:4:16
              |
            4 |   - { dataset: shop.order }
              |                ^^^^^^^^^^
              |
              = help: did you mean `shop.orders`?

            error[unknown-name]: `shop.orders` has no column `tz`
             --> consumers/board.yaml:5:47
              |
            5 |   - { dataset: shop.orders, columns: [amount, tz] }
              |                                               ^^
              |
              = help: did you mean `ts`? possible here: order_id, amount, ts

            error[duplicate-name]: `shop.orders` stands twice
             --> consumers/board.yaml:6:16
              |
            6 |   - { dataset: shop.orders }
              |                ^^^^^^^^^^^
              |
              = help: name all its columns in one entry

            error[unknown-key]: unknown key `name`
             --> consumers/board.yaml:7:1
              |
            7 | name: x
              | ^^^^
              |
              = help: possible here: description, owner, kind, reads

            6 errors
        "#]],
    );
    check_consumer(
        "",
        expect![[r#"
        error[missing-key]: the file is empty
        --> consumers/board.yaml:1:1
         = help: it needs at least owner, kind, reads

        1 error
    "#]],
    );
    check(
        &[
            ("flowline.yaml", PROJECT),
            ("consumers/Board.yaml", "owner: team-shop"),
            ("consumers/notes.md", ""),
        ],
        expect![[r#"
            error[invalid-name]: `Board` is not the name of a consumer
            --> consumers/Board.yaml:1:1
             = help: rename the file: lower-case letters, digits, `_` and `-`, first a letter

            1 error
        "#]],
    );
}
