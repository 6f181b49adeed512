/** Put in by the build: the stamp of the sources this page was built from. */
declare const PAGE_BUILD: string;
