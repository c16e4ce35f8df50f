/* The files of the page, as they were when the program was built: nothing is read at run time. */
#include "http_parts.h"

#include <string.h>

#define EMBED(name, file)                                                                                             \
	__asm__(".section .rodata\n"                                                                                      \
	        ".global http_" #name "_begin\n.global http_" #name "_end\n"                                              \
	        "http_" #name "_begin:\n.incbin \"common/page/" file "\"\nhttp_" #name "_end:\n.byte 0\n.previous\n");     \
	extern const unsigned char http_##name##_begin[], http_##name##_end[];

EMBED(html, "page.html")
EMBED(css, "page.css")
EMBED(js, "page.js")
EMBED(svg, "page.svg")

const struct http_file *http_file(const char *path)
{
	static struct http_file files[] = {
	    {"/", "text/html; charset=utf-8", http_html_begin, 0},
	    {"/page.css", "text/css; charset=utf-8", http_css_begin, 0},
	    {"/page.js", "text/javascript; charset=utf-8", http_js_begin, 0},
	    {"/page.svg", "image/svg+xml", http_svg_begin, 0},
	};
	const unsigned char *const ends[] = {http_html_end, http_css_end, http_js_end, http_svg_end};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(files[i].path, path) != 0)
			continue;
		files[i].size = (size_t)(ends[i] - files[i].at);
		return &files[i];
	}
	return NULL;
}
