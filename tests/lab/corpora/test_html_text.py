"""What is a page's text, and what is around it."""

import pytest

from byline.lab.corpora.html_text import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Lists</h1><p>A list  has\n<b>items</b>.</p>", "Lists\nA list has items."),
        ("<ul><li>one<li>two</ul>three", "one\ntwo\nthree"),
        ("<pre>a = [1,\n     2]  \n\n</pre>b", "a = [1,\n     2]\nb"),
        ("<pre>a <b>b</b>  c<div>  d</div></pre>", "a b  c\n  d"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("&lt;a&gt; &amp; &#9731; &eacute;", "<a> & ☃ é"),
        ("<head><title>No</title></head><script>if (a < b) {}</script><style>p {}</style>yes", "yes"),
        ("<nav>a<nav>b</nav>c</nav>d", "d"),
        ('<div class="x sphinxsidebar"><div>a</div>b</div>c', "c"),
        ('<div role="navigation"><p>a</p></div>c', "c"),
        ('Title<a class="headerlink" href="#t">¶</a>', "Title"),
        ("</p></div>a</pre>b", "a\nb"),
        ("<nav>never closed", ""),
        ("", ""),
    ],
)
def test_text(html, text):
    assert text_of(html) == text
