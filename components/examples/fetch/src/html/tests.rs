//! Whole pages, from markup to text.

use super::*;
use proptest::prelude::*;

fn text(html: &str) -> String {
    readable(html, None).text
}

#[test]
fn headings_lists_links_and_code_keep_their_shape() {
    let html = "<h1>Big</h1><p>One <b>two</b>\n three.<ul><li>a<li>b</ul><p><a href='https://x.y/'>link</a>, \
                <a href='/in'>in</a><pre>\n  x\n  y</pre>end";
    assert_eq!(
        text(html),
        "# Big\n\nOne two three.\n\n- a\n- b\n\n[link](https://x.y/), in\n\n```\n  x\n  y\n```\n\nend"
    );
}

#[test]
fn lists_may_be_numbered_and_stand_in_one_another() {
    let html = "<ol><li>one<ul><li>a</li><li>b</li></ul></li><li>two</li></ol><ol start=7><li>x</ol>after";
    assert_eq!(text(html), "1. one\n  - a\n  - b\n2. two\n\n7. x\n\nafter");
}

#[test]
fn relative_links_lead_from_where_the_page_is() {
    let address = Url::parse("https://a.b/c/d?e").unwrap();
    let html = "<a href='f'>1</a> <a href='/g?h=1&amp;i=2'>2</a> <a href='#j'>3</a> <a href='mailto:k@l.m'>4</a> \
                <a href='javascript:n()'>5</a> <a href='//o.p'>6</a><base href='/q/'><a href='r'> 7</a>";
    assert_eq!(
        readable(html, Some(&address)).text,
        "[1](https://a.b/c/f) [2](https://a.b/g?h=1&i=2) 3 4 5 [6](https://o.p/) [7](https://a.b/q/r)"
    );
}

#[test]
fn scripts_styles_and_comments_are_left_out_and_the_title_is_kept() {
    let html = "<!DOCTYPE html><html><head><TITLE>A &amp;\n B</TITLE><style>p{}</style><body><header>top</header>\
                <script>if (a < b) {}</script><!-- <p>no</p> --><svg><title>no</title></svg><p>yes</p></body></html>";
    let page = readable(html, None);
    assert_eq!(
        (page.title.as_deref(), page.text.as_str()),
        (Some("A & B"), "top\n\nyes")
    );
}

#[test]
fn tables_and_images_read_as_lines() {
    let html = "<table><tr><th>a<th>b<tr><td>c</td>\n<td>d</td></table><img alt='a cat'><img src=x>";
    assert_eq!(text(html), "a | b\nc | d\n\n[a cat]");
}

#[test]
fn white_space_counts_once_and_inline_elements_add_none() {
    assert_eq!(
        text("a<b>b</b> <i> c</i>\n\t<em>d</em>e <br> f<div>g</div><div>h</div>"),
        "ab c de\nf\ng\nh"
    );
}

#[test]
fn broken_markup_is_read_as_far_as_it_goes() {
    assert_eq!(text("a < b and c > d"), "a < b and c > d");
    assert_eq!(text("<p>open <b>bold"), "open bold");
    assert_eq!(
        text("<a href=\"https://x.y/>never closed</a> text"),
        "[never closed](https://x.y/) text"
    );
    assert_eq!(text("<head><p>a <nav>b <svg>c <svg/>d"), "a b c d");
    assert_eq!(text("<pre>never closed"), "```\nnever closed\n```");
    assert_eq!(text("</ul></li></pre></a></h1>x"), "x");
    assert_eq!(text("<!-- never closed"), "");
    assert_eq!(text("<b"), "<b");
}

#[test]
fn a_page_of_more_text_than_is_kept_is_truncated() {
    let page = readable(&"wörd ".repeat(1 << 19), None);
    assert!(page.truncated && page.text.len() <= TEXT_BYTES_MAX && page.text.len() > TEXT_BYTES_MAX - 8);
}

#[test]
fn many_short_links_do_not_become_a_long_text() {
    let address = Url::parse(&format!("https://a.b/{}/", "c".repeat(480))).unwrap();
    let page = readable(&"<a href=d>e</a> ".repeat(130_000), Some(&address));
    assert!(page.truncated && page.text.len() <= TEXT_BYTES_MAX);
}

#[test]
fn hostile_markup_takes_linear_time() {
    for piece in [
        "<",
        "<a ",
        "<a",
        "<a>",
        "<a href=\"",
        "<a '>'\">",
        "<a \"'>",
        "<!--",
        "<!",
        "<p",
        "<script",
        "<script>",
        "<head>",
        "<title>",
        "<svg>",
        "<svg></svg>",
        "<nav><svg>",
        "&",
        "&#",
        "&amp;",
        "<li>",
        "<ul><li>",
        "<ol><li>x",
        "</ul>",
        "<a href=x>y",
        "<a href=x>\n<h1>",
        "<pre>",
        "<pre>x",
        "<h1>",
        "<td>",
        "<td>x",
        "<img alt=x>",
        "<a b=",
        "<a =",
        ">",
        "</",
        "</script",
        "<svg></sv",
        "<base href=x/>",
    ] {
        let started = std::time::Instant::now();
        readable(
            &piece.repeat((2 << 20) / piece.len()),
            Some(&Url::parse("http://a.b/c").unwrap()),
        );
        assert!(started.elapsed().as_secs() < 120, "{piece}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read(html in "\\PC{0,80}") {
        readable(&html, None);
    }

    #[test]
    fn any_markup_is_read_into_no_more_than_it_says(
        html in "(</?(a|p|h1|ul|ol|li|pre|td|svg|title|script|br|img alt=x|base)( href=[\"']?[a-z/.:]{0,4}[\"']?)?>?|[a-z <>&;#\n\"']{0,8}|\\PC){0,40}",
    ) {
        let address = Url::parse("http://a.b/").unwrap();
        let page = readable(&html, Some(&address));
        prop_assert!(page.text.len() <= html.len() * 24 + 16);
        prop_assert!(!page.truncated && !page.text.ends_with(char::is_whitespace));
    }

    #[test]
    fn escaped_words_are_read_back(words in proptest::collection::vec("[a-zü<>&\"']{1,8}", 0..10)) {
        let said = words.join(" ");
        let html = format!("<p>{}</p>", said.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
        prop_assert_eq!(text(&html), said);
    }
}
