//! Answers what it gets.

wit_bindgen::generate!({ path: "wit" });

struct Echo;

impl Guest for Echo {
    fn text_back(text: String) -> String {
        text
    }

    fn bytes_back(bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn spin() {
        loop {
            std::hint::black_box(());
        }
    }
}

export!(Echo);
