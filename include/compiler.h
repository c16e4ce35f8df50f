/* What the compiler can check. Promises nothing at run time and knows no other header. */
#ifndef COMPILER_H
#define COMPILER_H

/* The result says whether the call worked, and has to be looked at. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Argument number `text` is a printf format for the arguments from `first` on. */
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* Never returns. */
#define NO_RETURN __attribute__((noreturn))

/* Is this a build with AddressSanitizer or ThreadSanitizer? Their run-time libraries need more of the kernel than the
 * program, look into the process at its end, and have an allocator of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* The structure that embeds `member` at `pointer`. */
#define OWNER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#endif
