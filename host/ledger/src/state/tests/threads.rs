//! Transactions from many threads at once: what serializable means, by its effects.

use super::*;

#[test]
fn transfers_between_accounts_keep_the_sum_while_they_are_counted() {
    const ACCOUNTS: u64 = 8;
    const TOTAL: u64 = ACCOUNTS * 100;
    let driver = Driver::new();
    let account = |n: u64| key(&format!("account/{n}"));
    for n in 0..ACCOUNTS {
        driver.put(BranchId::MAIN, &format!("account/{n}"), "100");
    }
    let number = |value: Option<Bytes>| text(&value.unwrap()).parse::<u64>().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let (mut committed, mut conflicts) = (0, 0);
    std::thread::scope(|scope| {
        let transfers: Vec<_> = (0..4_u64)
            .map(|thread| {
                let driver = &driver;
                scope.spawn(move || {
                    let (mut committed, mut conflicts) = (0_u64, 0_u64);
                    let mut random = thread + 1;
                    while committed < 500 {
                        random = random
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let (from, to, amount) = ((random >> 33) % ACCOUNTS, (random >> 43) % ACCOUNTS, random % 7);
                        let mut transaction = driver.begin(BranchId::MAIN);
                        let balance = number(transaction.get(&account(from)).unwrap());
                        if from == to || balance < amount {
                            continue;
                        }
                        let other = number(transaction.get(&account(to)).unwrap());
                        transaction.put(account(from), (balance - amount).to_string()).unwrap();
                        transaction.put(account(to), (other + amount).to_string()).unwrap();
                        match driver.finish(transaction) {
                            Ok(_) => committed += 1,
                            Err(LedgerError::Conflict { .. }) => conflicts += 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    (committed, conflicts)
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let range = KeyRange::prefix(&Owner::Host, b"account/");
                let page = driver
                    .state
                    .scan(BranchId::MAIN, &range, driver.visible(), 100, None)
                    .unwrap();
                let sum: u64 = page
                    .entries
                    .into_iter()
                    .map(|(_, version)| number(Some(version.value)))
                    .sum();
                assert_eq!(sum, TOTAL);
                driver.state.sweep(100).unwrap();
                driver.control(StateView::retain(driver.visible())).ok();
            }
        });
        for transfer in transfers {
            let (ok, failed) = transfer.join().unwrap();
            committed += ok;
            conflicts += failed;
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(committed, 2000);
    println!("{conflicts} conflicts");
}
